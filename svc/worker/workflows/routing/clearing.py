"""Takes away the routes of what is deleted, and stops it."""

import msgspec
from sqlalchemy import Connection

from pkg.deletions import queries as deletions
from pkg.deletions.model import Deletion, DeletionKind, DeletionStep
from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState
from pkg.domains import queries as domains
from pkg.environments import queries as environments
from pkg.feed import queries as desired
from pkg.regions import queries as regions
from pkg.routes import domains as domain_routes
from pkg.routes import moves
from pkg.routes import queries as routes
from pkg.teardown import queries
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.routing.stopping import may_be_needed


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """See ClearReply."""

    version: int
    look_again: bool


async def clear_routes(deps: WorkerDeps, deletion_id: str, environment_id: str) -> Cleared:
    """One transaction: routes and domains of the environment go, or a deployment is released; then it stops.

    Idempotent: the version of a repetition is no lower. A deployment waits while a deploy or switch of its environment
    may come back to it: then nothing is done.
    """

    def write(connection: Connection) -> Cleared:
        now, deletion = deps.clock(), deletions.get(connection, deletion_id)
        if deletion is None or deletion.status.is_terminal:
            return Cleared(version=0, look_again=False)
        if deletion.kind is DeletionKind.DEPLOYMENT:
            found = deployments.get(connection, deletion.deployment_id)
            assert found is not None
            if may_be_needed(connection, found):
                waits_for = "a deploy, promote or rollback that moves routes of its environment now"
                deletions.note_progress(connection, deletion_id, DeletionStep.ROUTES, waits_for)
                return Cleared(version=0, look_again=True)
            if not regions.topologies_of(connection, found.id):  # no region has ever heard of it
                return Cleared(version=0, look_again=False)
            _release(connection, deletion, now)
        else:
            for domain in domains.of_environment(connection, environment_id):
                domain_routes.remove(connection, domain, now)
            moves.clear(connection, environment_id, now)
        for deployment_id in queries.deployment_ids(connection, deletion, environment_id=environment_id):
            regions.stop(connection, deployment_id, now)
            deployments.set_run_state(connection, deployment_id, RunState.STOPPING, now)
        return Cleared(version=desired.head(connection).version, look_again=False)

    return await deps.db.write(write)


def _release(connection: Connection, deletion: Deletion, now: int) -> None:
    """Its shared hostnames say "stopped" from then on, as after `sealift stop --live`; its own are removed."""
    if routes.live_hostnames(connection, deletion.deployment_id):
        # the environment is no longer rolled back: the next deploy becomes live
        environments.set_rolled_back(connection, deletion.environment_id, False, now)
    moves.release(connection, deletion.deployment_id, seq=deletion.seq, now=now)
