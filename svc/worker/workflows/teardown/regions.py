"""Regions confirm: the ingress serves the routes no more, and no instance is left.

A region in contact is waited for, however long it takes. One that has had no contact for ten minutes is not: krane
removes what is not desired once it is back. A user may say that the deletion goes on before that.
"""

from collections.abc import Collection

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deletions import queries as deletions
from pkg.deletions.model import Deletion, DeletionStep
from pkg.regions import queries as regions
from pkg.regions.silence import Silence, silences
from pkg.teardown import queries
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.teardown.record import TeardownInput
from svc.worker.workflows.waiting import APPLIED, INSTANCES, UNBOUNDED_S, Observation, WakeUp, watch

AWAY_MS = 10 * 60 * 1000
MAX_NAMED = 3


async def wait_routes_gone(ctx: WorkflowContext, journal: Journal, teardown: TeardownInput, version: int) -> None:
    """Waits until no ingress serves what was removed up to this version of the desired state."""
    await watch(
        journal, "routes", observe_routes, UNBOUNDED_S, WakeUp(ctx, APPLIED), None, teardown.deletion_id, version
    )


async def wait_instances_gone(ctx: WorkflowContext, journal: Journal, teardown: TeardownInput) -> None:
    """Waits until no region reports an instance."""
    await watch(
        journal, "instances", observe_instances, UNBOUNDED_S, WakeUp(ctx, INSTANCES), None, teardown.deletion_id
    )


async def observe_routes(deps: WorkerDeps, deletion_id: str, version: int) -> Observation:
    """Reads once which regions have not applied the version, and says so in the row. Idempotent."""

    def write(connection: Connection) -> bool:
        deletion = deletions.get(connection, deletion_id)
        if deletion is None or deletion.status.is_terminal:
            return True
        known, now = regions.every(connection), deps.clock()
        behind = regions.behind(connection, [region.name for region in known], version)
        # a region whose engine is away still has its ingress
        silent = {name: one for name, one in silences(known, now).items() if not one.is_probed}
        return _settle(
            connection, deletion, DeletionStep.ROUTES, behind, silent, now,
            what="has not confirmed that its ingress serves the hostnames no more",
        )  # fmt: skip

    return Observation(settled=await deps.db.write(write), now=deps.clock())


async def observe_instances(deps: WorkerDeps, deletion_id: str) -> Observation:
    """Reads once which regions report an instance that has not ended, and says so in the row. Idempotent."""

    def write(connection: Connection) -> bool:
        deletion = deletions.get(connection, deletion_id)
        if deletion is None or deletion.status.is_terminal:
            return True
        now = deps.clock()
        alive = queries.alive_in(connection, deletion)
        silent = silences(regions.every(connection), now)
        return _settle(
            connection, deletion, DeletionStep.INSTANCES, alive, silent, now,
            what="still reports instances that have not ended",
        )  # fmt: skip

    return Observation(settled=await deps.db.write(write), now=deps.clock())


def _settle(
    connection: Connection,
    deletion: Deletion,
    step: DeletionStep,
    missing: Collection[str],
    silent: dict[str, Silence],
    now: int,
    *,
    what: str,
) -> bool:
    """Whether it goes on. Notes the regions that it waits for, or goes on without."""
    awaited = []
    for name in missing:
        silence = silent.get(name)
        is_away = silence is not None and now - silence.since >= AWAY_MS
        if not deletion.skips_regions and not is_away:
            awaited.append(f"region {name} {what}" + (f" ({silence.reason})" if silence else ""))
            continue
        why = f"{silence.reason}" if silence else "a user said not to wait for it"
        deletions.add_notice(
            connection,
            deletion.id,
            f"region {name} {what}: {why}. Its krane removes what is left there once it is back in contact.",
        )
    more = f"; and {len(awaited) - MAX_NAMED} more" if len(awaited) > MAX_NAMED else ""
    deletions.note_progress(connection, deletion.id, step, "; ".join(awaited[:MAX_NAMED]) + more)
    return not awaited
