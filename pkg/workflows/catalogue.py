"""The registry of workflows: what is not listed here can't be started."""

from pkg.workflows.building import BUILD
from pkg.workflows.certificate import CERTIFICATE
from pkg.workflows.deploy import DEPLOY
from pkg.workflows.model import Workflow
from pkg.workflows.switch import SWITCH
from pkg.workflows.teardown import TEARDOWN

ALL: tuple[Workflow, ...] = (DEPLOY, BUILD, SWITCH, CERTIFICATE, TEARDOWN)


def named(name: str) -> Workflow:
    """The workflow with that name in Restate.

    Raises:
        LookupError: there is none.
    """
    for workflow in ALL:
        if workflow.name == name:
            return workflow
    raise LookupError(f"no workflow {name!r} in the catalogue, only {', '.join(known.name for known in ALL)}")
