"""Checks of krane's requests. Pure. Long texts are cut, not refused: krane would repeat a refused report endlessly."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pkg.desired.processes import name_problem
from pkg.errors import InvalidArgument
from pkg.ids import is_id
from pkg.images import ImageRef, StoredImage
from pkg.images.ref import is_image_id
from pkg.projects.slugs import check_slug
from pkg.regions.health import InstanceState
from pkg.regions.queries import Host, InstanceRow
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.api.requests.checks import check_range, check_text, shown

RUNTIMES = ("docker", "kubernetes")
MAX_INSTANCES = 5000
MAX_REPLICA = 1000
MAX_NACKS = 5000
MAX_HOSTNAME_CHARS = 253
MAX_LOG_LINES = 100
MAX_LINE_CHARS = 1024
MAX_REASON_CHARS = 1024
MAX_PORT = 65535
MAX_CAPABILITIES = 200
MAX_UNSUPPORTED = 1000
MAX_STILL_SERVED = 5000
MAX_STOPPING = 1000
_CAPABILITY = re.compile(r"[a-z_.]{1,48}/[0-9]{1,8}")
MAX_IMAGES = 1000
MAX_IMAGE_NAMES = 100
_CODE = re.compile(r"(instance|process)\.[a-z_]{1,48}")
INSTANCE_STATES = {
    deployment_pb2.INSTANCE_STATE_STARTING: InstanceState.STARTING,
    deployment_pb2.INSTANCE_STATE_HEALTHY: InstanceState.HEALTHY,
    deployment_pb2.INSTANCE_STATE_UNHEALTHY: InstanceState.UNHEALTHY,
    deployment_pb2.INSTANCE_STATE_FAILED: InstanceState.FAILED,
    deployment_pb2.INSTANCE_STATE_STOPPED: InstanceState.STOPPED,
}


@dataclass(frozen=True)
class Registration:
    """A krane that introduces itself."""

    region: str
    instance_id: str
    version: str
    runtime: str
    engine: str
    capabilities: tuple[str, ...]
    host: Host
    replica_id: str
    is_shared: bool


def registration(request: pb.RegisterRequest) -> Registration:
    """The introduction, checked."""
    if request.runtime not in RUNTIMES:
        raise InvalidArgument("runtime", f"{shown(request.runtime)} is neither docker nor kubernetes")
    return Registration(
        region=check_slug("region", request.region),
        instance_id=check_text("instance_id", request.instance_id, min_chars=1, max_chars=64),
        version=check_text("version", request.version, max_chars=64),
        runtime=request.runtime,
        engine=check_text("engine", request.engine, max_chars=256),
        capabilities=capabilities(request.capabilities),
        host=Host(
            name=clean(request.host_name)[:253],
            architecture=clean(request.architecture)[:32],
            cpus=min(request.capacity.cpus, 2**31 - 1),
            memory_mib=min(request.capacity.memory_mib, 2**63 - 1),
        ),
        replica_id=replica_id(request.replica_id),
        is_shared=request.is_shared and request.replica_id != "",
    )


def capabilities(reported: Iterable[str]) -> tuple[str, ...]:
    """Those that this api can read, sorted. Of a later krane some may look otherwise: it can't need these either."""
    return tuple(sorted({one for one in reported if _CAPABILITY.fullmatch(one)}))[:MAX_CAPABILITIES]


def images(request: pb.ReportImagesRequest) -> list[StoredImage]:
    """The images, checked. An image of more than `MAX_IMAGE_NAMES` names and digests is left out: it is kept."""
    check_range("images", len(request.images), 0, MAX_IMAGES)
    found = []
    for index, image in enumerate(request.images):
        ref = ImageRef.parse(image.image_ref)
        if not ref.is_on_engine or not is_image_id(ref.digest):
            raise InvalidArgument(f"images[{index}].image_ref", f"{shown(image.image_ref)} is no image of an engine")
        if len(image.names) + len(image.digests) <= MAX_IMAGE_NAMES:
            found.append(StoredImage(ref, tuple(image.names), image.created_at, digests=tuple(image.digests)))
    return found


def replica_id(text: str) -> str:
    """The id of a krane among those of its region, checked; "" of one from before there were several."""
    return check_text("replica_id", text, max_chars=64)


def leader_term(request: pb.ReportInstancesRequest | pb.ReportJobsRequest) -> int:
    """The term, checked: a database holds 63 bits of it."""
    return check_range("leader_term", request.leader_term, 0, 2**63 - 1)


def heartbeat(request: pb.HeartbeatRequest) -> tuple[str, str, str]:
    """Region, krane's instance id, and why its engine does not answer."""
    return request.region, clean(request.instance_id)[:64], clean(request.engine_away)[:256]


def still_served(request: pb.ReportAppliedRequest) -> list[str]:
    """The deployments, checked."""
    return _deployment_ids("still_served", request.still_served, MAX_STILL_SERVED)


def stopping(request: pb.ListReleasedRequest) -> list[str]:
    """The deployments, checked."""
    return _deployment_ids("deployment_ids", request.deployment_ids, MAX_STOPPING)


def _deployment_ids(field: str, ids: Sequence[str], limit: int) -> list[str]:
    check_range(field, len(ids), 0, limit)
    for number, deployment_id in enumerate(ids):
        if not is_id("dep", deployment_id):
            raise InvalidArgument(f"{field}[{number}]", f"{shown(deployment_id)} is not a deployment id")
    return sorted(set(ids))


def instances(region: str, reports: Sequence[pb.InstanceReport]) -> list[InstanceRow]:
    """The reported instances as rows."""
    if len(reports) > MAX_INSTANCES:
        raise InvalidArgument("instances", f"has {len(reports)}, at most {MAX_INSTANCES} are allowed")
    return [_instance(region, report, f"instances[{number}]") for number, report in enumerate(reports)]


def found_ports(reports: Sequence[pb.InstanceReport]) -> dict[tuple[str, int], int]:
    """Where web instances were found to answer: (deployment id, replica) -> port."""
    return {
        (report.deployment_id, report.replica): check_range(f"instances[{number}].port", report.port, 1, MAX_PORT)
        for number, report in enumerate(reports)
        if report.port and not report.process
    }


def nacks(request: pb.ReportAppliedRequest) -> list[tuple[int, str, str]]:
    """Refused changes as (version, hostname, message). No hostname: something that no single route explains."""
    if len(request.nacks) > MAX_NACKS:
        raise InvalidArgument("nacks", f"has {len(request.nacks)}, at most {MAX_NACKS} are allowed")
    # one row per hostname: the newest counts
    newest = {nack.hostname: nack for nack in sorted(request.nacks, key=lambda n: n.version)}
    return [
        (min(nack.version, request.version), clean(hostname)[:MAX_HOSTNAME_CHARS], clean(nack.message)[:1024])
        for hostname, nack in newest.items()
    ]


def _instance(region: str, report: pb.InstanceReport, field: str) -> InstanceRow:
    if not is_id("dep", report.deployment_id):
        raise InvalidArgument(f"{field}.deployment_id", f"{shown(report.deployment_id)} is not a deployment id")
    state = INSTANCE_STATES.get(report.state)
    if state is None:
        raise InvalidArgument(f"{field}.state", "is required")
    return InstanceRow(
        region=region,
        deployment_id=report.deployment_id,
        replica=check_range(f"{field}.replica", report.replica, 0, MAX_REPLICA),
        instance_id=check_text(f"{field}.instance_id", report.instance_id, min_chars=1, max_chars=128),
        state=state,
        reason=clean(report.reason)[:MAX_REASON_CHARS],
        exit_code=report.exit_code if report.HasField("exit_code") else None,
        log_tail_json=lines_of(report.log_tail),
        last_probe=clean(report.last_probe)[:512],
        image_id=clean(report.image_id)[:128],
        restarts=min(report.restarts, 2**31 - 1),
        port_notice=clean(report.port_notice)[:MAX_REASON_CHARS],
        observed_at=report.observed_at,
        code=report.code if _CODE.fullmatch(report.code) else "",
        last_exit_json=_exit(report.last_exit) if report.HasField("last_exit") else None,
        waits_for=clean(report.waits_for)[:32],
        scaling_notice=clean(report.scaling_notice)[:MAX_REASON_CHARS],
        restart_generation=report.restart_generation,
        started_at=max(0, report.started_at),
        process=_process(f"{field}.process", report.process),
    )


def _process(field: str, name: str) -> str:
    if name and (problem := name_problem(name)):
        raise InvalidArgument(field, problem)
    return name


def _exit(seen: deployment_pb2.InstanceExit) -> dict[str, Any]:
    return {
        "exit_code": seen.exit_code if seen.HasField("exit_code") else None,
        "out_of_memory": seen.out_of_memory,
        "at": seen.at,
        "reason": clean(seen.reason)[:MAX_REASON_CHARS],
        "output": lines_of(seen.output),
    }


def lines_of(lines: Sequence[str]) -> list[str]:
    """The last lines, each cut, as a database takes them."""
    return [clean(line)[:MAX_LINE_CHARS] for line in lines[-MAX_LOG_LINES:]]


def clean(text: str) -> str:
    """The text without what PostgreSQL does not store."""
    return text.replace("\0", "")
