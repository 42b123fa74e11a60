"""Deployments without a shared hostname stay on standby for a while, so that a rollback is instant; then they stop."""

import msgspec
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState
from pkg.regions import processes
from pkg.routes import queries as routes
from pkg.workflows.objects import ROUTING_RETIRE
from sealift.workflow.v1.workflow_pb2 import RetireRequest
from svc.worker.config import Deploy
from svc.worker.journal import Journal


class Displaced(msgspec.Struct, frozen=True, kw_only=True):
    """A warm deployment that no shared hostname points at."""

    deployment_id: str
    run_state_at: int
    on_standby: bool


def displace(connection: Connection, environment_id: str, *, ready_id: str, since: int, now: int) -> list[Displaced]:
    """Puts the environment's other running deployments without a shared hostname on standby; lists those to retire.

    Listed are those displaced by this call, or by an earlier one of the same intent: their run state has changed since
    `since`, when the intent was recorded. For the others a delayed call exists already; one more for each deploy would
    make Restate hold a call for every pair of warm deployments.

    `ready_id` has just become ready, or was switched to: it stays running even without a shared hostname. Processes
    beside web go on of nothing but what is live. Idempotent.
    """
    found = []
    live_id = routes.live_deployment_id(connection, environment_id)
    for deployment in deployments.warm_in_environment(connection, environment_id):
        if deployment.id != live_id:
            processes.stop(connection, deployment.id, now)
        if routes.sticky_hostnames(connection, deployment.id):
            continue
        is_new = deployment.id == ready_id
        if not is_new:
            is_new = deployments.set_run_state(connection, deployment.id, RunState.STANDBY, now)
        if not is_new and deployment.run_state_at < since:
            continue
        current = deployments.get(connection, deployment.id)
        assert current is not None
        found.append(
            Displaced(
                deployment_id=current.id,
                run_state_at=current.run_state_at,
                on_standby=current.run_state is RunState.STANDBY,
            )
        )
    return found


def retire_later(journal: Journal, environment_id: str, found: list[Displaced], now: int) -> None:
    """Schedules the stop of each, which does nothing if it is routed, or its run state has changed, by then."""
    for one in found:
        due = one.run_state_at + ttl_s(journal.deps.config.deploy, on_standby=one.on_standby) * 1000
        request = retire_request(one.deployment_id, one.run_state_at, on_standby=one.on_standby)
        journal.send(ROUTING_RETIRE, environment_id, request, delay_ms=max(0, due - now))


def ttl_s(limits: Deploy, *, on_standby: bool) -> int:
    """How long a deployment without a shared hostname may keep its run state, in seconds."""
    return limits.standby_ttl_s if on_standby else limits.unrouted_ttl_s


def retire_request(deployment_id: str, run_state_at: int, *, on_standby: bool) -> RetireRequest:
    """Asks `Routing.retire` to stop the deployment if its run state is still the one since `run_state_at`, epoch ms."""
    return RetireRequest(deployment_id=deployment_id, only_standby=on_standby, run_state_at=run_state_at)
