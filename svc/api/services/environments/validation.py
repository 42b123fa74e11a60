"""Checks of requests about environments. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pkg.desired.scaling import MAX_REPLICAS
from pkg.environments.model import Environment
from pkg.errors import FailedPrecondition, InvalidArgument
from sealift.ctrl.v1 import environment_pb2 as pb
from svc.api.requests import settings
from svc.api.requests.checks import check_form, check_id, check_range

MAX_VARIABLES = 256
MAX_VALUE_BYTES = 32 << 10
MAX_VARIABLES_BYTES = 1 << 20  # all of an environment: they are handed to a process at its start
# Variables that Sealift sets for every instance; a user's value would have no effect.
RESERVED_NAMES = frozenset({
    "PORT", "SEALIFT_DEPLOYMENT_ID", "SEALIFT_ENVIRONMENT_ID", "SEALIFT_REGION",
    "SEALIFT_PUBLIC_URL", "SEALIFT_HOSTNAME",
})  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True)
class Update:
    """What changes."""

    environment_id: str
    settings_override: dict[str, Any]
    set_variables: dict[str, str]
    set_plain_variables: dict[str, str]
    unset_variables: frozenset[str]


def update_of(request: pb.UpdateEnvironmentRequest) -> Update:
    """The change, checked. A name that is set and unset, or set in both ways, is refused."""
    check_id("environment_id", "env", request.environment_id)
    override = settings.override_of(request.settings) if request.HasField("settings") else {}
    if len(request.unset_variables) > MAX_VARIABLES:
        raise InvalidArgument("unset_variables", f"at most {MAX_VARIABLES} variables are allowed")
    sealed = check_variables("set_variables", request.set_variables)
    plain = check_variables("set_plain_variables", request.set_plain_variables)
    for name in plain:
        if name in sealed:
            raise InvalidArgument("set_plain_variables", f"{name} is in set_variables, too: name it once")
    for name in request.unset_variables:
        check_variable_name("unset_variables", name)
        if name in sealed or name in plain:
            raise InvalidArgument("unset_variables", f"{name} is set by the same request: name it once")
    return Update(request.environment_id, override, sealed, plain, frozenset(request.unset_variables))


def check_replicas(field: str, replicas: int) -> int:
    """The number of instances that an environment is scaled to."""
    if replicas == 0:
        raise InvalidArgument(
            field, f"must be 1 to {MAX_REPLICAS}; `sealift stop --live` takes an app down, and keeps its hostnames"
        )
    return check_range(field, replicas, 1, MAX_REPLICAS)


def check_not_scaled(environment: Environment, override: dict[str, Any]) -> None:
    """Raises FailedPrecondition when a number is set that would not count, since the environment was scaled."""
    replicas = override.get("replicas")
    if replicas is None or environment.replicas in (None, replicas):
        return
    raise FailedPrecondition(
        "environment.scaled",
        f"Environment {environment.slug!r} was scaled to {environment.replicas}, and that counts for all of its "
        f"deployments: use `sealift scale {replicas}`.",
        field="settings.replicas",
    )


def check_variables(field: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that an instance may be started with, as far as they go by themselves.

    Raises:
        InvalidArgument: there are too many, or one has a name or a value that can't be; values are not repeated.
    """
    if len(variables) > MAX_VARIABLES:
        raise InvalidArgument(field, f"at most {MAX_VARIABLES} variables are allowed")
    for name, value in variables.items():
        check_variable_name(field, name)
        if name in RESERVED_NAMES:
            how = "the port is a setting, port under [run] in sealift.toml" if name == "PORT" else "use another name"
            raise InvalidArgument(field, f"{name} is set by Sealift itself: {how}")
        _check_value(f"{field}[{name}]", value)
    return dict(variables)


def check_variable_name(field: str, name: str) -> str:
    """The name itself, which every shell and runtime accepts."""
    return check_form(field, name, _NAME, "use 1 to 128 of A-Z, a-z, 0-9 and _, not beginning with a digit")


def check_total(field: str, variables: Mapping[str, str]) -> None:
    """Raises InvalidArgument when an environment, or a deployment, would hold more than it may."""
    if len(variables) > MAX_VARIABLES:
        raise InvalidArgument(field, f"would result in {len(variables)} variables, at most {MAX_VARIABLES} are allowed")
    total = sum(len(name.encode()) + len(value.encode()) for name, value in variables.items())
    if total > MAX_VARIABLES_BYTES:
        raise InvalidArgument(
            field, f"would result in {total} bytes of variables, at most {MAX_VARIABLES_BYTES} are allowed"
        )


def _check_value(field: str, value: str) -> None:
    # says nothing of the value itself: it may be a secret
    size = len(value.encode())
    if size > MAX_VALUE_BYTES:
        raise InvalidArgument(field, f"the value has {size} bytes, at most {MAX_VALUE_BYTES} (32 KiB) are allowed")
    if "\0" in value:
        raise InvalidArgument(field, "the value must not hold a NUL character")
