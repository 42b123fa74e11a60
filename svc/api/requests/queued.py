"""Why a recorded intent has not started yet."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import Build, BuildStatus
from pkg.drains import Drain, DrainReason
from pkg.drains import queries as drains
from pkg.workflows import outbox
from pkg.workflows.building import BUILD
from pkg.workflows.deploy import DEPLOY
from pkg.workflows.model import Workflow
from pkg.workspaces import queries as workspaces

DRAINING = "the server is being upgraded; it starts afterwards"
PAUSED = "an operator holds new work back; it starts afterwards"


def reasons(connection: Connection, workflow: Workflow, keys: Collection[str]) -> dict[str, str]:
    """Human-readable reasons by key, of those `keys` of pending intents that something holds back."""
    if not keys:
        return {}
    found: dict[str, str] = {}
    if workflow is DEPLOY:
        for build in builds.pending_of(connection, keys):
            if reason := _without_slot(connection, build):
                found[str(build.deployment_id)] = reason
    if active := drains.active(connection):
        found |= dict.fromkeys(outbox.never_sent(connection, workflow, keys), _reason(active))
    return found


def build_reasons(connection: Connection, found: Sequence[Build]) -> dict[str, str]:
    """The same for builds, by build id; what holds back a deployment holds back its build."""
    pending = [build for build in found if build.status is BuildStatus.PENDING]
    held = {build.id: reason for build in pending if (reason := _without_slot(connection, build))}
    if pending and (active := drains.active(connection)):
        unsent = set(outbox.never_sent(connection, BUILD, [b.id for b in pending if b.deployment_id is None]))
        unsent |= set(outbox.never_sent(connection, DEPLOY, [b.deployment_id for b in pending if b.deployment_id]))
        held |= {build.id: _reason(active) for build in pending if (build.deployment_id or build.id) in unsent}
    return held


def _reason(active: list[Drain]) -> str:
    """An operator's drain is the one that may last."""
    return PAUSED if any(drain.reason is DrainReason.OPERATOR for drain in active) else DRAINING


def _without_slot(connection: Connection, build: Build) -> str:
    """Why a pending build waits for one of the workspace's slots; "" if it is about to get one."""
    slots = workspaces.build_slots(connection, build.workspace_id)
    if builds.count(connection, build.workspace_id, BuildStatus.RUNNING) < slots:
        return ""
    before = builds.count(connection, build.workspace_id, BuildStatus.PENDING, created_before=build.created_at)
    used = "the build slot is" if slots == 1 else f"all {slots} build slots are"
    queue = f", {before} {'waits' if before == 1 else 'wait'} before this one" if before else ""
    return f"{used} in use{queue}; it starts automatically"
