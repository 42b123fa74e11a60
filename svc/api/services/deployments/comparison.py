"""Compares the variables of two deployments without telling any value."""

from collections.abc import Mapping

from sqlalchemy import Connection

from pkg.deployments.model import Deployment
from pkg.deployments.variables import opened_snapshot
from pkg.environments import queries as environments
from pkg.errors import InvalidArgument
from pkg.secrets import Vault
from sealift.ctrl.v1 import deployment_pb2 as pb


def compared_variables(
    connection: Connection, vault: Vault, first: Deployment, second: Deployment
) -> list[pb.ComparedVariable]:
    """Every name that one of them has, by name.

    Raises:
        InvalidArgument: they are of different projects.
    """
    if first.project_id != second.project_id:
        raise InvalidArgument(
            "other_deployment_id",
            f"{second.id} is of another project than {first.id}: only deployments of one project can be compared",
        )
    ours, theirs = (_snapshot(connection, vault, one) for one in (first, second))
    return [
        pb.ComparedVariable(name=name, comparison=_comparison(name, ours, theirs))
        for name in sorted(ours.keys() | theirs.keys())
    ]


def _comparison(name: str, first: Mapping[str, str], second: Mapping[str, str]) -> pb.VariableComparison.ValueType:
    if name not in second:
        return pb.VARIABLE_COMPARISON_ONLY_FIRST
    if name not in first:
        return pb.VARIABLE_COMPARISON_ONLY_SECOND
    is_same = first[name] == second[name]
    return pb.VARIABLE_COMPARISON_SAME if is_same else pb.VARIABLE_COMPARISON_DIFFERENT


def _snapshot(connection: Connection, vault: Vault, deployment: Deployment) -> Mapping[str, str]:
    environment = environments.get(connection, deployment.environment_id, workspace_id=deployment.workspace_id)
    return {} if environment is None else opened_snapshot(vault, environment.data_key, deployment)
