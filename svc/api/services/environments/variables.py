"""The variables of an environment: opened, and compared with what its live deployment has."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.variables import opened_snapshot
from pkg.environments import queries
from pkg.environments.model import Environment, Variable
from pkg.secrets import AssociatedData, Vault
from sealift.ctrl.v1 import environment_pb2 as pb


def opened_variables(connection: Connection, vault: Vault, environment: Environment) -> dict[str, str]:
    """The environment's variables in clear. Keep them out of logs, messages and Restate."""
    return opened(vault, environment, queries.variables(connection, environment.id))


def opened(vault: Vault, environment: Environment, variables: Iterable[Variable]) -> dict[str, str]:
    """Some of the environment's variables in clear."""
    return {
        one.name: vault.open(
            environment.data_key, one.sealed, AssociatedData.environment_variable(environment.id, one.name)
        ).decode()
        for one in variables
    }


def described(
    connection: Connection, vault: Vault, environment: Environment, variables: Iterable[Variable], live_id: str | None
) -> list[pb.EnvironmentVariable]:
    """The variables with their state, by name; and those that only the live deployment has, without values.

    A plain variable that only the live deployment has may be one of its sealift.toml, so it is left out.
    """
    live, plain = _live_variables(connection, vault, environment, live_id)
    variables = list(variables)
    own = opened(vault, environment, variables)
    found = {
        one.name: pb.EnvironmentVariable(
            name=one.name, updated_at=one.updated_at, state=_state(own[one.name], live.get(one.name))
        )
        for one in variables
    }
    for name in live.keys() - own.keys() - plain:
        found[name] = pb.EnvironmentVariable(name=name, state=pb.VARIABLE_STATE_REMOVED)
    return [found[name] for name in sorted(found)]


def _state(own: str, live: str | None) -> pb.VariableState.ValueType:
    if live is None:
        return pb.VARIABLE_STATE_NOT_DEPLOYED
    return pb.VARIABLE_STATE_LIVE if live == own else pb.VARIABLE_STATE_CHANGED


def _live_variables(
    connection: Connection, vault: Vault, environment: Environment, live_id: str | None
) -> tuple[Mapping[str, str], frozenset[str]]:
    """The snapshot of the live deployment, and the names of its plain variables."""
    deployment = deployments.get(connection, live_id) if live_id else None
    if deployment is None or deployment.variables_sealed is None:
        return {}, frozenset()
    return opened_snapshot(vault, environment.data_key, deployment), frozenset(deployment.plain_variables_json)
