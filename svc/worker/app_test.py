"""Promise: the worker serves every handler that the catalogue and its callers know, and no other."""

import importlib
import pkgutil

import pkg.workflows
from pkg.restate import Handler
from pkg.workflows import catalogue
from svc.worker.app import services
from svc.worker.testing.harness import WorkerHarness


def known() -> set[tuple[str, str]]:
    """Service and name of every handler that pkg.workflows declares."""
    names = [f"pkg.workflows.{each.name}" for each in pkgutil.iter_modules(pkg.workflows.__path__)]
    modules = [importlib.import_module(name) for name in names if not name.endswith("_test")]
    values = [value for module in modules for value in vars(module).values()]
    return {(value.service, value.name) for value in values if isinstance(value, Handler)}


def test_every_known_handler_is_served(harness: WorkerHarness) -> None:
    """A workflow that no worker serves would stay in the outbox."""
    served = {(each.name, name) for each in services(harness.deps) for name in each.handlers}
    assert served == known()
    assert {(workflow.name, "run") for workflow in catalogue.ALL} <= served
