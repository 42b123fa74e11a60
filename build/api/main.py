"""Start the api: `python -m build.api.main --config FILE`."""

from build.util.run import run_service
from svc.api.config import ApiConfig
from svc.api.run import run

if __name__ == "__main__":
    run_service("api", ApiConfig, run)
