"""Why an intent that was recorded does not begin yet."""

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from pkg.builds.model import BuildStatus
from pkg.builds.tables import builds
from pkg.installation import queries as installation
from pkg.workflows import outbox
from pkg.workflows.deploy import DEPLOY
from pkg.workflows.model import Workflow
from pkg.workspaces import queries as workspaces

DRAINING = "the server is being upgraded; it goes on by itself"


def reasons(connection: Connection, workflow: Workflow, keys: Collection[str]) -> dict[str, str]:
    """In words for people, by key; nothing for an intent that nothing holds back. `keys`: of pending ones."""
    if not keys:
        return {}
    found = _without_slot(connection, keys) if workflow is DEPLOY else {}
    if installation.is_draining(connection):
        found |= dict.fromkeys(outbox.never_sent(connection, workflow, keys), DRAINING)
    return found


def _without_slot(connection: Connection, deployment_ids: Collection[str]) -> dict[str, str]:
    """Of deployments whose build waits for one of the workspace's slots."""
    waiting = select(builds.c.deployment_id, builds.c.workspace_id, builds.c.created_at).where(
        builds.c.deployment_id.in_(deployment_ids), builds.c.status == BuildStatus.PENDING
    )
    found = {}
    for row in connection.execute(waiting):
        slots = workspaces.build_slots(connection, row.workspace_id)
        if _count(connection, row.workspace_id, BuildStatus.RUNNING) < slots:
            continue  # it is about to get one
        before = _count(connection, row.workspace_id, BuildStatus.PENDING, created_before=row.created_at)
        used = "the build slot is" if slots == 1 else f"all {slots} build slots are"
        queue = f", {before} {'waits' if before == 1 else 'wait'} before this one" if before else ""
        found[str(row.deployment_id)] = f"{used} in use{queue}; it goes on by itself"
    return found


def _count(connection: Connection, workspace_id: str, status: BuildStatus, *, created_before: int | None = None) -> int:
    query = select(func.count()).where(builds.c.workspace_id == workspace_id, builds.c.status == status)
    if created_before is not None:
        query = query.where(builds.c.created_at < created_before)
    return int(connection.execute(query).scalar_one())
