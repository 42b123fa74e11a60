"""Enum names of the protos for output: lower case, without prefix. Pure."""

from collections.abc import Callable


def short(name_of: Callable[..., str], value: int, prefix: str) -> str:
    """E.g. "ready" of DEPLOYMENT_STATUS_READY; the number of a value newer than this program."""
    try:
        name = name_of(value).removeprefix(prefix).lower()
        return "-" if name == "unspecified" else name
    except ValueError:
        return str(value)


def status_name(value: int) -> str:
    """Of a DeploymentStatus."""
    from sealift.ctrl.v1.deployment_pb2 import DeploymentStatus

    return short(DeploymentStatus.Name, value, "DEPLOYMENT_STATUS_")


def run_state_name(value: int) -> str:
    """Of a RunState."""
    from sealift.ctrl.v1.deployment_pb2 import RunState

    return short(RunState.Name, value, "RUN_STATE_")


def instance_state_name(value: int) -> str:
    """Of an InstanceState."""
    from sealift.ctrl.v1.deployment_pb2 import InstanceState

    return short(InstanceState.Name, value, "INSTANCE_STATE_")


def build_status_name(value: int) -> str:
    """Of a BuildStatus."""
    from sealift.ctrl.v1.build_pb2 import BuildStatus

    return short(BuildStatus.Name, value, "BUILD_STATUS_")


def build_step_state_name(value: int) -> str:
    """Of a BuildStepState."""
    from sealift.ctrl.v1.build_pb2 import BuildStepState

    return short(BuildStepState.Name, value, "BUILD_STEP_STATE_")


def stream_name(value: int) -> str:
    """Of a BuildLogStream."""
    from sealift.ctrl.v1.build_pb2 import BuildLogStream

    return short(BuildLogStream.Name, value, "BUILD_LOG_STREAM_")


def variable_state_name(value: int) -> str:
    """Of a VariableState."""
    from sealift.ctrl.v1.environment_pb2 import VariableState

    return short(VariableState.Name, value, "VARIABLE_STATE_")


def role_name(value: int) -> str:
    """Of a KeyRole."""
    from sealift.ctrl.v1.key_pb2 import KeyRole

    return short(KeyRole.Name, value, "KEY_ROLE_")
