"""What a container of ours looks like, as the Engine API wants it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pkg.docker.labels import (
    LABEL_DEPLOYMENT,
    LABEL_ENVIRONMENT,
    LABEL_INSTALLATION,
    LABEL_PROCESS,
    LABEL_PROJECT,
    LABEL_REGION,
    LABEL_REPLICA,
    LABEL_RESTART,
    LABEL_SPEC,
    LABEL_WORKSPACE,
)
from svc.krane.runtime.port import DeploymentSpec, instance_name

# From 0 (spared) to 1000: when the machine's memory ends, apps go before services; builds (900) before apps.
OOM_SCORE_ADJ = 500
PIDS_LIMIT = 512  # ends a fork bomb long before the host feels it
CPU_PERIOD_US = 100_000
LOG_MAX_SIZE = "10m"
LOG_MAX_FILES = "3"

# All others are dropped. Ordinary images start as root, chown their data directory, drop to a service user and bind
# port 80; without these six plus KILL (a supervisor ends children of another user) nginx, postgres or redis fail.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "NET_BIND_SERVICE", "KILL")


@dataclass(frozen=True)
class Identity:
    """Whose containers these are. Only exact matches of both are ever touched."""

    installation_id: str
    region: str

    def labels(self) -> dict[str, str]:
        """The two labels that everything of ours carries."""
        return {LABEL_INSTALLATION: self.installation_id, LABEL_REGION: self.region}

    def owns(self, labels: Mapping[str, str] | None) -> bool:
        """Whether something with these labels is ours."""
        return labels is not None and all(labels.get(name) == value for name, value in self.labels().items())


def instance_labels(spec: DeploymentSpec, replica: int, identity: Identity) -> dict[str, str]:
    """Every label of an instance's container."""
    restart = {LABEL_RESTART: str(spec.restart_generation)} if spec.restart_generation else {}
    process = {LABEL_PROCESS: spec.process} if spec.process else {}
    return {
        **identity.labels(),
        **restart,
        **process,
        LABEL_WORKSPACE: spec.workspace_id,
        LABEL_PROJECT: spec.project_id,
        LABEL_ENVIRONMENT: spec.environment_id,
        LABEL_DEPLOYMENT: spec.deployment_id,
        LABEL_REPLICA: str(replica),
        LABEL_SPEC: spec.revision,
    }


def is_same_instance(labels: Mapping[str, str] | None, spec: DeploymentSpec, replica: int, identity: Identity) -> bool:
    """Whether a container that already has the name is this instance (maybe of another revision, or restart)."""
    wanted = instance_labels(spec, replica, identity)
    wanted.pop(LABEL_SPEC)
    wanted.pop(LABEL_RESTART, None)
    return labels is not None and all(labels.get(name) == value for name, value in wanted.items())


def environment(spec: DeploymentSpec, identity: Identity) -> list[str]:
    """The container's environment. What the platform says wins over the user's variables."""
    merged = {
        **spec.variables,
        **({"SEALIFT_PROCESS": spec.process} if spec.process else {"PORT": str(spec.port)}),
        "SEALIFT_DEPLOYMENT_ID": spec.owner_id,
        "SEALIFT_ENVIRONMENT_ID": spec.environment_id,
        "SEALIFT_REGION": identity.region,
        **_address(spec.public_url),
    }
    return [f"{name}={value}" for name, value in sorted(merged.items())]


def _address(public_url: str) -> dict[str, str]:
    if not public_url:
        return {}
    return {"SEALIFT_PUBLIC_URL": public_url, "SEALIFT_HOSTNAME": urlsplit(public_url).hostname or ""}


def container_config(
    spec: DeploymentSpec,
    image: str,
    replica: int,
    identity: Identity,
    network: str,
    address: str,
    *,
    init: bool,
    has_quota: bool = False,
    cgroup_parent: str = "",
) -> dict[str, Any]:
    """The body of POST /containers/create, for an instance of the engine's `image`, a name or an id.

    `init` makes the engine's own init process 1, `has_quota` has the storage driver hold the container's layer to its
    bound, `cgroup_parent` is its control group ("": the engine's). The address on the network is the container's for as
    long as it exists.

    The restart policy is "no" until the instance was healthy once (`Runtime.apply`), so that an app that
    exits during its deploy fails it at once instead of looping.
    """
    memory_bytes = spec.memory_mib * 1024 * 1024
    config: dict[str, Any] = {
        "Image": image,
        "Hostname": instance_name(spec.deployment_id, replica)[:63],
        "Env": environment(spec, identity),
        "Labels": instance_labels(spec, replica, identity),
        "NetworkingConfig": {"EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": address}}}},
        "HostConfig": {
            "NetworkMode": network,
            "Memory": memory_bytes,
            "MemorySwap": memory_bytes,  # equal means: no swap
            # A quota rather than NanoCpus: the engine refuses NanoCpus above the host's count of processors.
            "CpuPeriod": CPU_PERIOD_US,
            "CpuQuota": spec.cpu_millicores * CPU_PERIOD_US // 1000,
            "PidsLimit": PIDS_LIMIT,
            "Init": init,
            "OomScoreAdj": OOM_SCORE_ADJ,
            "SecurityOpt": ["no-new-privileges"],
            "CapDrop": ["ALL"],
            "CapAdd": list(CAPABILITIES),
            "LogConfig": {"Type": "json-file", "Config": {"max-size": LOG_MAX_SIZE, "max-file": LOG_MAX_FILES}},
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        },
    }
    if has_quota and spec.disk_mib:
        config["HostConfig"]["StorageOpt"] = {"size": f"{spec.disk_mib}m"}
    if cgroup_parent:
        config["HostConfig"]["CgroupParent"] = cgroup_parent
    if spec.command:
        config["Cmd"] = list(spec.command)
    return config
