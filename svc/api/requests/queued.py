"""Why a recorded intent has not started yet."""

from collections.abc import Collection

from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.drains import Drain, DrainReason
from pkg.drains import queries as drains
from pkg.workflows import outbox
from pkg.workflows.deploy import DEPLOY
from pkg.workflows.model import Workflow
from pkg.workspaces import queries as workspaces

DRAINING = "the server is being upgraded; it starts afterwards"
PAUSED = "an operator holds new work back; it starts afterwards"


def reasons(connection: Connection, workflow: Workflow, keys: Collection[str]) -> dict[str, str]:
    """Human-readable reasons by key, of those `keys` of pending intents that something holds back."""
    if not keys:
        return {}
    found = _without_slot(connection, keys) if workflow is DEPLOY else {}
    if active := drains.active(connection):
        found |= dict.fromkeys(outbox.never_sent(connection, workflow, keys), _reason(active))
    return found


def _reason(active: list[Drain]) -> str:
    """An operator's drain is the one that may last."""
    return PAUSED if any(drain.reason is DrainReason.OPERATOR for drain in active) else DRAINING


def _without_slot(connection: Connection, deployment_ids: Collection[str]) -> dict[str, str]:
    """Of deployments whose build waits for one of the workspace's slots."""
    found = {}
    for build in builds.pending_of(connection, deployment_ids):
        slots = workspaces.build_slots(connection, build.workspace_id)
        if builds.count(connection, build.workspace_id, BuildStatus.RUNNING) < slots:
            continue  # it is about to get one
        before = builds.count(connection, build.workspace_id, BuildStatus.PENDING, created_before=build.created_at)
        used = "the build slot is" if slots == 1 else f"all {slots} build slots are"
        queue = f", {before} {'waits' if before == 1 else 'wait'} before this one" if before else ""
        found[str(build.deployment_id)] = f"{used} in use{queue}; it starts automatically"
    return found
