"""Runtime settings: the defaults with the overrides of an environment and a deploy, kept by the deployment. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

from pkg.desired.capabilities import APP_PROCESSES, APP_PROTOCOL
from pkg.desired.processes import Process
from pkg.desired.protocol import AppProtocol
from pkg.desired.scaling import ReplicaBounds, bounds_of

# Any subset of what `Settings.to_json` makes: the fields that an environment or a deploy sets.
SettingsOverride: TypeAlias = dict[str, Any]

DEFAULT_RELEASE_TIMEOUT_S = 600
DEFAULT_PORT = 8080  # handed to the app as $PORT when none is set


@dataclass(frozen=True)
class HealthCheck:
    """How an instance is judged; limits stand in common.proto."""

    path: str = ""
    interval_ms: int = 1000
    timeout_ms: int = 2000
    start_timeout_s: int = 120


@dataclass(frozen=True)
class Settings:
    """A complete set of settings.

    Attributes:
        replicas: How many instances each region is to run at least; exactly that many without `autoscaling`.
        autoscaling: Present: `replicas` is its min_replicas.
        port: None: not set; the app is handed `DEFAULT_PORT`; where it listens is adopted (`pkg.regions.ports`).
        command: None: the image's own.
        protocol: What the ingress and probes speak to the app.
        release_command: Runs once per deploy, before its instances; None: nothing does.
        processes: The process types beside the web instances, by name.
    """

    cpu_millicores: int = 1000
    memory_mib: int = 512
    disk_mib: int = 10_240
    replicas: int = 1
    autoscaling: ReplicaBounds | None = None
    port: int | None = None
    command: tuple[str, ...] | None = None
    health_check: HealthCheck = field(default_factory=HealthCheck)
    protocol: AppProtocol = AppProtocol.HTTP1
    release_command: tuple[str, ...] | None = None
    release_timeout_s: int = DEFAULT_RELEASE_TIMEOUT_S
    processes: tuple[Process, ...] = ()

    @property
    def required_capabilities(self) -> frozenset[str]:
        """What a krane needs to run such an app, in addition to the baseline."""
        protocol = {APP_PROTOCOL} if self.protocol is AppProtocol.H2C else set()
        return frozenset(protocol | ({APP_PROCESSES} if self.processes else set()))

    def process(self, name: str) -> Process | None:
        """The process of this name; None: there is none."""
        return next((one for one in self.processes if one.name == name), None)

    def merged(self, override: SettingsOverride) -> "Settings":
        """These settings with the fields that `override` sets.

        A fixed number of replicas replaces bounds, and bounds a fixed number.

        Raises:
            InvalidArgument: the bounds of both together are none.
        """
        known = dict(override)
        if known.get("autoscaling") is not None:
            known["autoscaling"] = bounds_of(self.autoscaling, known["autoscaling"])
            known["replicas"] = known["autoscaling"].min_replicas
        elif "replicas" in known:
            known["autoscaling"] = None
        if "health_check" in known:
            known["health_check"] = replace(self.health_check, **known["health_check"])
        if "protocol" in known:
            known["protocol"] = AppProtocol(known["protocol"])
        for name in ("command", "release_command"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        if known.get("processes") is not None:
            known["processes"] = tuple(
                Process(**{**one, "command": tuple(one["command"])}) for one in known["processes"]
            )
        return replace(self, **known)

    def scaled(self, replicas: int | None, processes: Mapping[str, int] = MappingProxyType({})) -> "Settings":
        """With the number that the environment was scaled to, None: it never was. Bounds stay.

        `processes`: the same for each process that was scaled, by name.
        """
        found = self
        if any(one.name in processes for one in self.processes):
            found = replace(
                self,
                processes=tuple(replace(one, replicas=processes.get(one.name, one.replicas)) for one in self.processes),
            )
        if replicas is None or self.autoscaling is not None:
            return found
        return replace(found, replicas=replicas)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for a column."""
        plain = asdict(self)
        for name in ("command", "release_command"):
            plain[name] = None if plain[name] is None else list(plain[name])
        if self.processes:
            plain["processes"] = [{**one, "command": list(one["command"])} for one in plain["processes"]]
        else:
            del plain["processes"]  # as every deployment from before there were any
        return plain


def combined(below: SettingsOverride, above: SettingsOverride) -> SettingsOverride:
    """One override from two: what `above` names counts, and a fixed number of replicas ends bounds and vice versa."""
    both = {**below, **above}
    for part in ("health_check", "autoscaling"):
        if below.get(part) is not None and above.get(part) is not None:
            both[part] = {**below[part], **above[part]}
    if "autoscaling" in above:
        both.pop("replicas", None)
    elif "replicas" in above:
        both.pop("autoscaling", None)
    return both


def from_json(override: SettingsOverride) -> Settings:
    """Settings from what a column holds; absent fields get the defaults."""
    return Settings().merged(override)
