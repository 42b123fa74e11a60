"""The handlers as one ASGI app."""

from collections.abc import Sequence

import restate
from restate import VirtualObject, Workflow

from pkg.restate.asgi import App, well_behaved
from svc.worker.deps import Parts
from svc.worker.workflows.building.service import service as build
from svc.worker.workflows.deploy.service import service as deploy
from svc.worker.workflows.routing.service import service as routing
from svc.worker.workflows.slot.service import service as slot
from svc.worker.workflows.switch.service import service as switch


def services(parts: Parts) -> Sequence[Workflow | VirtualObject]:
    """Everything Restate may call."""
    return [deploy(parts), switch(parts), build(parts), routing(parts), slot(parts)]


def create_app(parts: Parts, identity_keys: Sequence[str]) -> App:
    """The app. Requests that none of `identity_keys` signed are refused, but for /health."""
    return well_behaved(restate.app(list(services(parts)), identity_keys=list(identity_keys)))
