"""What the engine says of a container, as values of the port. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pkg.docker.labels import LABEL_DEPLOYMENT, LABEL_REPLICA, LABEL_RESTART, LABEL_SPEC
from svc.krane.runtime.port import EventKind, InstanceEvent, InstanceRef, InstanceStatus, Observation

_STATUS = {
    "created": InstanceStatus.CREATED,
    "running": InstanceStatus.RUNNING,
    "paused": InstanceStatus.RUNNING,
    "restarting": InstanceStatus.RESTARTING,
}
_EVENTS = {
    "die": EventKind.ENDED,
    "oom": EventKind.OUT_OF_MEMORY,
    **dict.fromkeys(("start", "destroy", "stop", "kill"), EventKind.CHANGED),
}


def observation(raw: Mapping[str, Any]) -> Observation:
    """A container as the engine inspects it."""
    state, labels = raw["State"], raw["Config"]["Labels"]
    name = raw["Name"].lstrip("/")
    address, is_assigned = network_address(raw)
    is_up = state["Running"] and not state.get("Restarting")
    is_kept = raw["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    is_cut_off = is_up and not _endpoint(raw).get("IPAddress")
    return Observation(
        name=name,
        uid=raw["Id"],
        deployment_id=labels.get(LABEL_DEPLOYMENT, ""),
        replica=number(labels.get(LABEL_REPLICA)),
        status=_STATUS.get(state["Status"], InstanceStatus.EXITED),
        revision=labels.get(LABEL_SPEC, ""),
        address=address if is_up else "",
        is_address_assigned=is_assigned,
        exit_code=state.get("ExitCode", 0),
        out_of_memory=bool(state.get("OOMKilled")),
        restarts=raw.get("RestartCount", 0),
        is_kept_running=is_kept,
        image_id=raw.get("Image", ""),
        started_at_ms=epoch_ms(state.get("StartedAt", "")),
        memory_mib=raw["HostConfig"].get("Memory", 0) // (1024 * 1024),
        command=(*([raw["Path"]] if raw.get("Path") else ()), *(raw.get("Args") or ())),
        # Only what was reached before: the engine may not yet know the address of another one.
        is_broken=is_cut_off and is_kept,
        reason=f"the container is paused; `docker unpause {name}` resumes it" if state.get("Paused") else "",
        restart_generation=number(labels.get(LABEL_RESTART)),
    )


def of_job(seen: Observation, deployment_id: str) -> Observation:
    """The container of a job, which belongs to a deployment without being an instance of it."""
    return replace(seen, deployment_id=deployment_id, is_broken=False)


def ref(raw: Mapping[str, Any]) -> InstanceRef:
    """A container as the engine lists it."""
    return InstanceRef(
        name=raw["Names"][0].lstrip("/"),
        deployment_id=raw["Labels"][LABEL_DEPLOYMENT],
        replica=number(raw["Labels"].get(LABEL_REPLICA)),
        address=network_address(raw)[0],
    )


def event(raw: Mapping[str, Any]) -> InstanceEvent | None:
    """An event of a container of ours as the engine sends it; None for one that changes nothing."""
    attributes = raw.get("Actor", {}).get("Attributes", {})
    deployment_id, kind = attributes.get(LABEL_DEPLOYMENT), _EVENTS.get(str(raw.get("Action", "")))
    if not deployment_id or kind is None:
        return None
    code = str(attributes.get("exitCode", ""))
    return InstanceEvent(
        kind,
        deployment_id,
        str(attributes.get("name", "")),
        exit_code=int(code) if kind is EventKind.ENDED and code.isdecimal() else None,
    )


def network_address(raw: Mapping[str, Any]) -> tuple[str, bool]:
    """The address of a container as the engine lists or inspects it, "" when unknown; whether it was assigned to it."""
    own = _endpoint(raw)
    assigned = (own.get("IPAMConfig") or {}).get("IPv4Address", "")
    return (assigned, True) if assigned else (own.get("IPAddress", ""), False)


def _endpoint(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    return (raw["NetworkSettings"]["Networks"] or {}).get(network_of(raw)) or {}


def network_of(raw: Mapping[str, Any]) -> str:
    """The name of the network that a container was made on, as the engine lists or inspects it."""
    return str(raw["HostConfig"]["NetworkMode"])


def number(text_value: str | None) -> int:
    """What a label holds; 0 for what is no number."""
    return int(text_value) if text_value is not None and text_value.isdecimal() else 0


def epoch_ms(stamp: str) -> int:
    """The engine's RFC 3339 with nanoseconds; 0 for its "never" (year 1) and for what is no time."""
    try:
        seconds = datetime.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0
    fraction = stamp[19:].rstrip("Z").lstrip(".")[:3]
    return max(0, int(seconds) * 1000 + (int(fraction.ljust(3, "0")) if fraction.isdecimal() else 0))
