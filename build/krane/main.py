"""Start the krane: `python -m build.krane.main --config FILE`."""

from build.util.run import run_service
from svc.krane.config import KraneConfig
from svc.krane.run import run

if __name__ == "__main__":
    run_service("krane", KraneConfig, run)
