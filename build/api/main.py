"""Start the api: `python -m build.api.main --config FILE`."""

from svc.api.config import ApiConfig
from svc.api.run import run

from build.util.run import run_service

if __name__ == "__main__":
    run_service("api", ApiConfig, run)
