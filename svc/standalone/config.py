"""What an operator may set for a one-machine stack. Everything has a default: no config file is needed."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from pkg.builders.buildkit.settings import BuildkitSettings
from pkg.builders.depot.settings import DepotSettings
from pkg.builders.settings import BuilderSections
from pkg.config import ConfigError, Strict, load
from pkg.config.expand import expand
from pkg.config.load import read_table
from pkg.config.sections import (
    Exec,
    Tracing,
    is_loopback_host,
    stays_here_problems,
    url_parts,
    url_problems,
)
from pkg.depot.config import DepotConfig
from pkg.domains.config import Domains
from pkg.hostnames import is_hostname
from pkg.images.config import Images, RegistryLogin, login_problems
from pkg.kubernetes.config import Kubernetes
from pkg.registry.config import RegistryConfig
from pkg.storage.s3.settings import S3Settings
from pkg.telemetry.clickhouse.config import ClickHouseConfig
from svc.standalone.sections import (
    PORT_MAX,
    Builds,
    Egress,
    Engine,
    EngineBuilds,
    Ingress,
    Limits,
    Log,
    Logs,
    Metrics,
    ObjectFiles,
    Ports,
    Restate,
    Retention,
    Runtime,
    TelemetryFile,
    Tls,
)

HTTPS_PORT = 443


class StandaloneConfig(Strict):
    """A one-machine stack.

    Attributes:
        state_dir: holds everything, private to its user; "" means /var/lib/sealift for root, ~/.local/share/sealift
            for anyone else.
        region: name of this machine's region, 1 to 40 of a-z 0-9 -.
        external_url: under which builders, and clients that do not come through the ingress, reach the api's HTTP port
            from other machines, e.g. "https://deploy.example.com". "" means the api's hostname if the ingress is open
            to them and has a certificate by ACME, else http://127.0.0.1:<ports.http>.
        build: what builds; how long a build may take is limits.build_timeout_s.
        depot: absent: no builder uses Depot.
        registry: where builds push images, and from where they are pulled; absent: images stay on the engine.
        registries: logins with which apps' images are pulled, one for each registry that asks for one.
    """

    state_dir: str = ""
    region: str = "local"
    external_url: str = ""
    ports: Ports = Ports()
    engine: Engine = Engine()
    runtime: Runtime = Runtime()
    kubernetes: Kubernetes = Kubernetes()
    ingress: Ingress = Ingress()
    tls: Tls = Tls()
    domains: Domains = Domains()
    egress: Egress = Egress()
    builds: Builds = Builds()
    build: EngineBuilds | BuildkitSettings | DepotSettings = EngineBuilds()
    depot: DepotConfig | None = None
    objects: ObjectFiles | S3Settings = ObjectFiles()
    registry: RegistryConfig | None = None
    registries: tuple[RegistryLogin, ...] = ()
    images: Images = Images()
    restate: Restate = Restate()
    limits: Limits = Limits()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    log: Log = Log()
    tracing: Tracing = Tracing()
    telemetry: TelemetryFile | ClickHouseConfig = TelemetryFile()
    logs: Logs = Logs()
    exec: Exec = Exec()

    def problems(self) -> list[str]:
        """Ports differ, the state directory is absolute, a registry has one login."""
        found = login_problems("registries", self.registries)
        taken: dict[int, str] = {}
        for name, port in msgspec.structs.asdict(self.ports).items():
            if not 0 <= port <= PORT_MAX:
                found.append(f"ports.{name}: {port} is not a port (0 to {PORT_MAX}; 0 means any free one)")
            elif port in taken:
                found.append(f"ports.{name}: {port} is also ports.{taken[port]}")
            elif port:
                taken[port] = name
        if self.state_dir and not Path(self.state_dir).is_absolute():
            found.append(f"state_dir: {self.state_dir!r} is not an absolute path")
        if not re.fullmatch(r"[a-z0-9-]{1,40}", self.region):
            found.append(f"region: expected 1 to 40 of a-z, 0-9 and -, got {self.region!r}")
        if self.external_url:
            found += url_problems("external_url", self.external_url)
            if "?" in self.external_url or "#" in self.external_url:
                found.append(f"external_url: expected a URL without a query, got {self.external_url!r}")
        is_open = not is_loopback_host(self.ingress.bind)
        if self.ingress.api_hostname and is_open and not self.tls.enabled and self.public_scheme == "http":
            found.append(
                "ingress.api_hostname: the api is served to other machines by HTTPS only: set tls.enabled = true, or "
                'ingress.public_scheme = "https" if a proxy in front does TLS'
            )
        if self.build.timeout_s != EngineBuilds().timeout_s:
            found.append("build.timeout_s: set limits.build_timeout_s instead")
        if self.runtime.backend == "kubernetes":
            found += self._cluster_problems()
        found += self._object_problems()
        return found + self.build.problems_beside(BuilderSections(registry=self.registry, depot=self.depot))

    @property
    def public_scheme(self) -> Literal["http", "https"]:
        """Of the addresses that users and apps get."""
        return self.ingress.public_scheme or ("https" if self.tls.enabled and self.tls.uses_acme else "http")

    @property
    def api_hostname(self) -> str:
        """Under which the api is reached through the ingress."""
        if self.ingress.api_hostname:
            return self.ingress.api_hostname
        parts = url_parts(self.external_url) if self.external_url else None
        host = (parts.hostname or "").lower() if parts else ""
        return host if is_hostname(host) else self.ingress.apex_domain

    @property
    def is_public(self) -> bool:
        """Whether other machines reach the api through the ingress, and trust its certificate."""
        is_local = self.api_hostname.rpartition(".")[2] == "localhost"
        return self.tls.enabled and self.tls.uses_acme and not is_local and not is_loopback_host(self.ingress.bind)

    def api_url(self, ingress_tls_port: int) -> str:
        """Under which the api is reached through the ingress; "" if it is not served by HTTPS."""
        if not self.tls.enabled and self.public_scheme == "http":
            return ""
        port = self.public_port(0, ingress_tls_port) if self.public_scheme == "https" else ingress_tls_port
        return f"https://{self.api_hostname}" + ("" if port == HTTPS_PORT else f":{port}")

    def url_elsewhere(self, ingress_tls_port: int) -> str:
        """Under which other machines reach what the api serves by HTTP, without a trailing slash; "": they do not."""
        if self.external_url or not self.is_public:
            return self.external_url.rstrip("/")
        return self.api_url(ingress_tls_port)

    def public_port(self, ingress_port: int, ingress_tls_port: int) -> int:
        """Of the addresses that users and apps get; the arguments are where the ingress listens."""
        if self.ingress.public_port:
            return self.ingress.public_port
        if self.public_scheme == "http":
            return ingress_port
        is_ours = self.tls.enabled and (self.tls.uses_acme or self.is_local)
        return ingress_tls_port if is_ours else HTTPS_PORT

    @property
    def is_local(self) -> bool:
        """Whether the names of apps lead nowhere but to the machine itself, so that no proxy stands in front."""
        return self.ingress.apex_domain.rpartition(".")[2] == "localhost"

    def _cluster_problems(self) -> list[str]:
        found = []
        if self.registry is None:
            found.append(
                'registry: is required for runtime.backend = "kubernetes": the nodes of a cluster pull images from a '
                "registry"
            )
        if not self.kubernetes.kubeconfig:
            found.append(
                'kubernetes.kubeconfig: is required for runtime.backend = "kubernetes": this machine is no Pod of the '
                "cluster"
            )
        return found

    def _object_problems(self) -> list[str]:
        builders = "builders on other machines fetch build contexts from it" if self.build.is_elsewhere else ""
        clients = "clients on other machines upload to it" if self.external_url or self.is_public else ""
        if isinstance(self.objects, ObjectFiles):
            is_missing = builders and not self.external_url and not self.is_public
            missing = [f"external_url: is required, as {builders}"] if is_missing else []
            return missing + stays_here_problems("external_url", self.external_url, builders)
        found = [] if not self.objects.api_url else ["api_url: the supervisor knows it; leave it out"]
        found += self.objects.problems_in_use(is_api=True, who_is_elsewhere=builders or clients)
        return [f"objects.{problem}" for problem in found]


def read_config(
    path: Path | None, overrides: Mapping[str, str | int], env: Mapping[str, str] = os.environ
) -> StandaloneConfig:
    """The config of a file, or the defaults, with flags on top.

    Args:
        path: a TOML file; None: all defaults.
        overrides: by dotted key, e.g. {"ports.api": 0}.
        env: for ${VAR} in the file.

    Raises:
        ConfigError: with every problem of the file, or of the flags.
    """
    config = load(path, StandaloneConfig, env=env) if path else StandaloneConfig()
    tables: dict[str, dict[str, str | int]] = {}
    plain: dict[str, str | int] = {}
    for key, value in overrides.items():
        table, dot, name = key.rpartition(".")
        if dot:
            tables.setdefault(table, {})[name] = value
        else:
            plain[name] = value
    changed = {table: msgspec.structs.replace(getattr(config, table), **values) for table, values in tables.items()}
    made = msgspec.structs.replace(config, **plain, **changed)
    problems = [*made.problems(), *(f"engine.{line}" for line in made.engine.problems())]
    if problems:
        raise ConfigError("config.invalid", "the command line's flags: " + "; ".join(problems), problems=problems)
    return made


def read_state_dir(path: Path | None, overrides: Mapping[str, str | int], env: Mapping[str, str] = os.environ) -> str:
    """`state_dir` alone, as `read_config` has it: for commands on what runs already.

    The shell of who calls them need not have the secrets of the other keys, and a key that is wrong for the next start
    must not keep anybody from ending what runs.

    Raises:
        ConfigError: the file can't be read, or its `state_dir` is not a string with variables that are set.
    """
    if "state_dir" in overrides or path is None:
        return str(overrides.get("state_dir", ""))
    written = read_table(path).get("state_dir", "")
    value, problems = expand(written, env) if isinstance(written, str) else ("", ["expected a string"])
    if problems:
        raise ConfigError("config.invalid", f"{path}: state_dir: {problems[0]}", problems=[f"state_dir: {problems[0]}"])
    return value
