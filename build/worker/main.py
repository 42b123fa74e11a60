"""Start the worker: `python -m build.worker.main --config FILE`."""

from build.util.run import run_service
from svc.worker.config import WorkerConfig
from svc.worker.run import run

if __name__ == "__main__":
    run_service("worker", WorkerConfig, run)
