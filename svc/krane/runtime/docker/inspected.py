"""What the engine tells of a container, in the words of the port. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from svc.krane.runtime.docker import container_spec, sockets
from svc.krane.runtime.port import InstanceDetails, InstanceStatus

_STATUS = {
    "created": InstanceStatus.CREATED,
    "running": InstanceStatus.RUNNING,
    "paused": InstanceStatus.RUNNING,
    "restarting": InstanceStatus.RESTARTING,
}


def details(raw: Mapping[str, Any]) -> InstanceDetails:
    """A container as the engine inspects it."""
    state, labels = raw["State"], raw["Config"]["Labels"]
    address, is_assigned = network_address(raw)
    is_up = state["Running"] and not state.get("Restarting")
    return InstanceDetails(
        name=raw["Name"].lstrip("/"),
        container_id=raw["Id"],
        deployment_id=labels.get(container_spec.LABEL_DEPLOYMENT, ""),
        replica=number(labels.get(container_spec.LABEL_REPLICA)),
        status=_STATUS.get(state["Status"], InstanceStatus.EXITED),
        fingerprint=labels.get(container_spec.LABEL_SPEC, ""),
        address=address if is_up else "",
        is_address_assigned=is_assigned,
        pid=state.get("Pid", 0),
        exit_code=state.get("ExitCode", 0),
        out_of_memory=bool(state.get("OOMKilled")),
        error=str(state.get("Error", "")),
        restarts=raw.get("RestartCount", 0),
        kept_running=raw["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped",
        image_id=raw.get("Image", ""),
        started_at_ms=_epoch_ms(state.get("StartedAt", "")),
        memory_mib=raw["HostConfig"].get("Memory", 0) // (1024 * 1024),
        command=(*([raw["Path"]] if raw.get("Path") else ()), *(raw.get("Args") or ())),
        exposed_ports=sockets.exposed(raw["Config"].get("ExposedPorts")),
        is_cut_off=is_up and not _endpoint(raw).get("IPAddress"),
        is_paused=bool(state.get("Paused")),
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


def _epoch_ms(stamp: str) -> int:
    """The engine's RFC 3339 with nanoseconds; 0 for its "never" (year 1) and for what is no time."""
    try:
        seconds = datetime.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0
    fraction = stamp[19:].rstrip("Z").lstrip(".")[:3]
    return max(0, int(seconds) * 1000 + (int(fraction.ljust(3, "0")) if fraction.isdecimal() else 0))
