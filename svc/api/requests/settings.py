"""Runtime settings in messages: to the overrides that `pkg.deployments.settings` merges, and back. Pure."""

from collections.abc import Sequence
from typing import Any

from pkg.deployments.settings import Settings, SettingsOverride
from pkg.desired.processes import MAX_PROCESS_REPLICAS, MAX_PROCESSES, name_problem
from pkg.desired.protocol import AppProtocol
from pkg.desired.scaling import FIELDS, MAX_CPU_PERCENT, MAX_REPLICAS, check_one_kind
from pkg.errors import InvalidArgument
from pkg.jobs.rules import MAX_RELEASE_TIMEOUT_S
from sealift.ctrl.v1 import common_pb2 as pb
from svc.api.requests.checks import check_range, check_text

MAX_COMMAND_WORDS = 64
MAX_WORD_CHARS = 4096
MAX_HEALTH_PATH_CHARS = 1024
MAX_PORT = 65535

_NUMBERS = {
    "cpu_millicores": (50, 64000),
    "memory_mib": (16, 262144),
    "disk_mib": (16, 1048576),
    "replicas": (1, MAX_REPLICAS),
    "release_timeout_s": (1, MAX_RELEASE_TIMEOUT_S),
}
_PROCESS_NUMBERS = {
    "replicas": (0, MAX_PROCESS_REPLICAS),
    **{name: _NUMBERS[name] for name in ("cpu_millicores", "memory_mib", "disk_mib")},
}
_BOUNDS = {"min_replicas": MAX_REPLICAS, "max_replicas": MAX_REPLICAS, "target_cpu_percent": MAX_CPU_PERCENT}
_PROTOCOLS = {AppProtocol.HTTP1: pb.APP_PROTOCOL_HTTP1, AppProtocol.H2C: pb.APP_PROTOCOL_H2C}
_HEALTH_NUMBERS = {"interval_ms": (100, 60000), "timeout_ms": (100, 30000), "start_timeout_s": (1, 900)}


def override_of(settings: pb.RuntimeSettings, field: str = "settings") -> SettingsOverride:
    """The fields that are present, checked.

    An empty command is the image's own, an empty release command none, port 0 none that is set. Of a health check, the
    path always counts and numbers that are 0 are absent.
    """
    override: SettingsOverride = {}
    if settings.HasField("port"):
        override["port"] = check_range(f"{field}.port", settings.port, 0, MAX_PORT) or None
    for name, (low, high) in _NUMBERS.items():
        if settings.HasField(name):  # type: ignore[arg-type]
            override[name] = check_range(f"{field}.{name}", getattr(settings, name), low, high)
    bounds = {
        name: check_range(f"{field}.{name}", getattr(settings, name), 1, _BOUNDS[name])
        for name in FIELDS
        if settings.HasField(name)  # type: ignore[arg-type]
    }
    check_one_kind(field, override.get("replicas"), bounds)
    if bounds:
        override["autoscaling"] = bounds
    if settings.HasField("command"):
        override["command"] = command_of(f"{field}.command", list(settings.command.values)) or None
    if settings.HasField("release_command"):
        words = list(settings.release_command.values)
        override["release_command"] = command_of(f"{field}.release_command", words) or None
    if settings.HasField("health_check"):
        override["health_check"] = _health_check(f"{field}.health_check", settings.health_check)
    if settings.HasField("protocol"):
        override["protocol"] = _protocol(f"{field}.protocol", settings.protocol)
    if settings.HasField("processes"):
        override["processes"] = _processes(f"{field}.processes.values", settings.processes.values)
    return override


def render(settings: Settings) -> pb.RuntimeSettings:
    """The complete settings; the port and the bounds are present only when they are set."""
    check, bounds = settings.health_check, settings.autoscaling
    return pb.RuntimeSettings(
        cpu_millicores=settings.cpu_millicores,
        memory_mib=settings.memory_mib,
        disk_mib=settings.disk_mib,
        replicas=settings.replicas,
        min_replicas=bounds.min_replicas if bounds else None,
        max_replicas=bounds.max_replicas if bounds else None,
        target_cpu_percent=bounds.target_cpu_percent if bounds else None,
        port=settings.port,
        command=None if settings.command is None else pb.StringList(values=settings.command),
        health_check=pb.HealthCheck(
            path=check.path,
            interval_ms=check.interval_ms,
            timeout_ms=check.timeout_ms,
            start_timeout_s=check.start_timeout_s,
        ),
        protocol=_PROTOCOLS[settings.protocol],
        release_command=None if settings.release_command is None else pb.StringList(values=settings.release_command),
        release_timeout_s=settings.release_timeout_s,
        processes=_rendered_processes(settings) if settings.processes else None,
    )


def _rendered_processes(settings: Settings) -> pb.Processes:
    """With the resources of the web instances where a process has none of its own."""
    return pb.Processes(
        values=[
            pb.Process(
                name=one.name,
                command=pb.StringList(values=one.command),
                replicas=one.replicas,
                cpu_millicores=one.cpu_millicores or settings.cpu_millicores,
                memory_mib=one.memory_mib or settings.memory_mib,
                disk_mib=one.disk_mib or settings.disk_mib,
            )
            for one in settings.processes
        ]
    )


def _processes(field: str, values: Sequence[pb.Process]) -> list[dict[str, Any]]:
    """The processes, checked, by name."""
    if len(values) > MAX_PROCESSES:
        raise InvalidArgument(field, f"has {len(values)} processes, at most {MAX_PROCESSES} are allowed")
    found: dict[str, dict[str, Any]] = {}
    for number, process in enumerate(values):
        where = f"{field}[{number}]"
        if problem := name_problem(process.name):
            raise InvalidArgument(f"{where}.name", problem)
        if process.name in found:
            raise InvalidArgument(f"{where}.name", f"{process.name!r} is there twice")
        command = command_of(f"{where}.command", list(process.command.values))
        if not command:
            raise InvalidArgument(f"{where}.command", "is required: it says what the process runs")
        numbers = {
            name: check_range(f"{where}.{name}", getattr(process, name), *_PROCESS_NUMBERS[name])
            for name in _PROCESS_NUMBERS
            if process.HasField(name)  # type: ignore[arg-type]
        }
        found[process.name] = {"name": process.name, "command": command, **numbers}
    return [found[name] for name in sorted(found)]


def _protocol(field: str, value: int) -> AppProtocol:
    for protocol, number in _PROTOCOLS.items():
        if number == value:
            return protocol
    names = ", ".join(pb.AppProtocol.Name(number) for number in _PROTOCOLS.values())
    raise InvalidArgument(field, f"is {value}, which is none of {names}")


def command_of(field: str, words: list[str]) -> list[str]:
    """The words of a command, checked; none is none."""
    if len(words) > MAX_COMMAND_WORDS:
        raise InvalidArgument(f"{field}.values", f"has {len(words)} words, at most {MAX_COMMAND_WORDS} are allowed")
    for number, word in enumerate(words):
        check_text(f"{field}.values[{number}]", word, max_chars=MAX_WORD_CHARS, one_line=False)
    if words and not words[0]:
        raise InvalidArgument(f"{field}.values[0]", "must not be empty: it is the program to run")
    return words


def _health_check(field: str, check: pb.HealthCheck) -> dict[str, Any]:
    if check.path and not check.path.startswith("/"):
        raise InvalidArgument(
            f"{field}.path", f"{check.path[:80]!r} must begin with / (empty: a TCP connection counts)"
        )
    if " " in check.path or "#" in check.path:
        raise InvalidArgument(f"{field}.path", f"{check.path[:80]!r} must hold neither a space nor #")
    check_text(f"{field}.path", check.path, max_chars=MAX_HEALTH_PATH_CHARS)
    override: dict[str, Any] = {"path": check.path}
    for name, (low, high) in _HEALTH_NUMBERS.items():
        value = getattr(check, name)
        if value:
            override[name] = check_range(f"{field}.{name}", value, low, high)
    return override
