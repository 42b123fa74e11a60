"""Start the krane: `python -m build.krane.main --config FILE`."""

from svc.krane.config import KraneConfig
from svc.krane.run import run

from build.util.run import run_service

if __name__ == "__main__":
    run_service("krane", KraneConfig, run)
