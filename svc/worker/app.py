"""The handlers as one ASGI app."""

from collections.abc import Sequence

import restate
from restate import VirtualObject, Workflow

from pkg.restate.asgi import App, served_by_hypercorn
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.building.workflow import service as build
from svc.worker.workflows.certificates.workflow import service as certificate
from svc.worker.workflows.deploy.workflow import service as deploy
from svc.worker.workflows.routing.service import service as routing
from svc.worker.workflows.slot.service import service as slot
from svc.worker.workflows.switch.workflow import service as switch
from svc.worker.workflows.teardown.workflow import service as teardown


def services(deps: WorkerDeps) -> Sequence[Workflow | VirtualObject]:
    """Every workflow and object that Restate calls. Each workflow of pkg.workflows.catalogue must be here."""
    return [deploy(deps), switch(deps), build(deps), routing(deps), slot(deps), certificate(deps), teardown(deps)]


def create_app(deps: WorkerDeps, identity_keys: Sequence[str]) -> App:
    """The app. Requests that none of `identity_keys` signed are refused, except /health."""
    return served_by_hypercorn(restate.app(list(services(deps)), identity_keys=list(identity_keys)))
