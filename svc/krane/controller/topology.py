"""What a topology of the feed asks for, with every default filled in. Pure."""

from dataclasses import dataclass

from pkg.desired.processes import split_workload, workload_id
from pkg.desired.protocol import AppProtocol
from pkg.desired.scaling import DEFAULT_TARGET_CPU_PERCENT, ReplicaBounds
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import common_pb2
from svc.krane.controller.uptime import HEALTHY_AFTER_S
from svc.krane.runtime.port import DeploymentSpec

# The api sends complete settings; these stand in for a field that an older api does not know (common.proto).
DEFAULT_CPU_MILLICORES = 1000
DEFAULT_MEMORY_MIB = 512
DEFAULT_DISK_MIB = 10_240
DEFAULT_REPLICAS = 1
DEFAULT_PORT = 8080
DEFAULT_INTERVAL_MS = 1000
DEFAULT_TIMEOUT_MS = 2000
DEFAULT_START_TIMEOUT_S = 120


@dataclass(frozen=True)
class HealthRule:
    """When an instance counts as healthy.

    Attributes:
        path: "" asks for a TCP connection only, with H2C for one that begins with HTTP/2.
        port: to ask: the set or the adopted one, else $PORT until one is adopted.
        is_port_set: somebody wrote it down.
        is_port_adopted: it was recorded for the deployment, which sets none.
        protocol: what the app speaks.
        stays_up_s: of a process, which has no port: it is healthy once it has been up for so long; 0: it is probed.
    """

    path: str
    port: int
    is_port_set: bool
    is_port_adopted: bool
    interval_s: float
    timeout_s: float
    start_timeout_s: float
    protocol: AppProtocol = AppProtocol.HTTP1
    stays_up_s: float = 0.0


def process_topology(topology: pb.Topology, process: str) -> pb.Topology | None:
    """What a process of the deployment should have, as the topology of its workload; None: there is no such process."""
    found = next((one for one in topology.settings.processes.values if one.name == process), None)
    if found is None:
        return None
    made = pb.Topology()
    made.CopyFrom(topology)
    made.deployment_id = workload_id(topology.deployment_id, process)
    made.adopted_port = 0
    made.stopped = topology.stopped or topology.processes_stopped or found.replicas == 0
    settings = made.settings
    for name in ("port", "health_check", "protocol", "min_replicas", "max_replicas", "target_cpu_percent", "processes"):
        settings.ClearField(name)
    settings.command.CopyFrom(found.command)
    settings.replicas = found.replicas
    settings.cpu_millicores = found.cpu_millicores or settings.cpu_millicores
    settings.memory_mib = found.memory_mib or settings.memory_mib
    settings.disk_mib = found.disk_mib or settings.disk_mib
    made.settings.health_check.start_timeout_s = topology.settings.health_check.start_timeout_s
    return made


def health_rule(topology: pb.Topology) -> HealthRule:
    """The deployment's health check."""
    check = topology.settings.health_check
    return HealthRule(
        path=check.path,
        port=topology.settings.port or topology.adopted_port or DEFAULT_PORT,
        is_port_set=topology.settings.port > 0,
        is_port_adopted=topology.settings.port == 0 and topology.adopted_port > 0,
        interval_s=(check.interval_ms or DEFAULT_INTERVAL_MS) / 1000,
        timeout_s=(check.timeout_ms or DEFAULT_TIMEOUT_MS) / 1000,
        start_timeout_s=float(check.start_timeout_s or DEFAULT_START_TIMEOUT_S),
        protocol=app_protocol(topology),
        stays_up_s=HEALTHY_AFTER_S if split_workload(topology.deployment_id)[1] else 0.0,
    )


def app_protocol(topology: pb.Topology) -> AppProtocol:
    """What its app speaks."""
    is_h2c = topology.settings.protocol == common_pb2.APP_PROTOCOL_H2C
    return AppProtocol.H2C if is_h2c else AppProtocol.HTTP1


def disk_mib(topology: pb.Topology) -> int:
    """What each of its instances may write to its own disk."""
    return topology.settings.disk_mib or DEFAULT_DISK_MIB


def replica_bounds(topology: pb.Topology) -> ReplicaBounds | None:
    """Between which numbers its instances are scaled; None: their number is fixed."""
    settings = topology.settings
    if not settings.max_replicas:
        return None
    target = settings.target_cpu_percent or DEFAULT_TARGET_CPU_PERCENT
    return ReplicaBounds(settings.min_replicas or DEFAULT_REPLICAS, settings.max_replicas, target)


def deployment_spec(topology: pb.Topology, live: str = "") -> DeploymentSpec:
    """What its instances are made from; no replicas while it is stopped. `live`: in its environment, "" for none."""
    settings = topology.settings
    is_process = bool(split_workload(topology.deployment_id)[1])
    return DeploymentSpec(
        deployment_id=topology.deployment_id,
        workspace_id=topology.workspace_id,
        project_id=topology.project_id,
        environment_id=topology.environment_id,
        replicas=0 if topology.stopped else settings.replicas or DEFAULT_REPLICAS,
        image_ref=topology.image_ref,
        cpu_millicores=settings.cpu_millicores or DEFAULT_CPU_MILLICORES,
        memory_mib=settings.memory_mib or DEFAULT_MEMORY_MIB,
        port=0 if is_process else settings.port or DEFAULT_PORT,
        command=tuple(settings.command.values),
        variables=dict(topology.variables),
        public_url=topology.public_url,
        disk_mib=disk_mib(topology),
        must_pull=topology.must_pull,
        bounds=replica_bounds(topology),
        replaces=live if live != topology.deployment_id else "",
        restart_generation=topology.restart_generation,
    )
