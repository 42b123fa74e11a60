"""The sections of the supervisor's configuration. A section checks what can be said about it alone."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from pkg.builders.settings import BuilderSettings
from pkg.certificates.config import Tls as CertificateSettings
from pkg.config import Strict
from pkg.config.sections import LOOPBACK_NETWORKS, hsts_problems, network_problems, range_problems
from pkg.hostnames import is_hostname
from pkg.storage.settings import StorageSettings
from pkg.telemetry.port import TelemetryConfig
from svc.standalone.egress.policy import allow_problems

PORT_MAX = 65535
MAX_STANDBY_S = 30 * 86_400


class Ports(Strict):
    """TCP ports. They are on loopback, those of the ingress on [ingress] bind; 0 means any free one, chosen at start.

    Attributes:
        api: gRPC port of the api; the CLI's default is this one.
        http: HTTP port of the api: health, metrics, uploads, RPCs as JSON.
        worker: where Restate calls the worker; every request is signed.
        worker_metrics: /metrics of the worker: deploys and builds by outcome and duration.
        krane_metrics: /metrics of krane: instances, feed, ingress.
        ingress: where apps answer.
        ingress_tls: where apps and the api answer by HTTPS; not open without [tls] enabled.
    """

    api: int = 7400
    http: int = 7401
    worker: int = 7402
    worker_metrics: int = 7403
    krane_metrics: int = 7404
    ingress: int = 7480
    ingress_tls: int = 7443


class Engine(Strict):
    """Which Docker engine builds and runs the apps.

    Attributes:
        socket: unix socket of the machine's engine.
        private: start an engine of our own under the state directory: "auto" if nothing answers on `socket`, or
            "always", or "never".
        build_cache_mib: a private engine removes build cache beyond it, the least used first, a minute after a build;
            another engine's cache is its owner's. A change counts from the engine's next start on.
        address_pool: range of the machine's engine from which instances get a /22, e.g. "10.160.0.0/16", where the
            engine's own choice meets a network of yours; smaller ones hold fewer instances. "" lets the engine choose;
            a private engine finds a free range by itself. A change counts once the network of before is removed.
    """

    socket: str = "/var/run/docker.sock"
    private: Literal["auto", "always", "never"] = "auto"
    build_cache_mib: int = 10240
    address_pool: str = ""

    def problems(self) -> list[str]:
        """The socket is an absolute path, and the cache may hold at least something."""
        found = [] if Path(self.socket).is_absolute() else [f"socket: {self.socket!r} is not an absolute path"]
        if self.address_pool and self.private == "always":
            found.append("address_pool: a private engine chooses its ranges by itself; leave it out")
        found += range_problems("address_pool", self.address_pool)
        return found + _at_least("build_cache_mib", self.build_cache_mib, 256)


class Runtime(Strict):
    """What runs the apps.

    Attributes:
        backend: "docker", the engine, or "kubernetes", the cluster of `[kubernetes]`; its nodes pull images, so that
            `[registry]` is required.
    """

    backend: Literal["docker", "kubernetes"] = "docker"


class Ingress(Strict):
    """How apps are reached.

    Attributes:
        apex_domain: every generated hostname is a label below it; *.localhost needs no DNS for browsers and curl.
        bind: IPv4 address that the ingress listens on; 0.0.0.0 opens the apps, and the api by HTTPS, to the network.
        trusted_proxies: addresses and networks of proxies in front, of which X-Forwarded-For, -Proto, -Host, -Port and
            the like are believed; of all others they are replaced. [] believes nobody.
        access_log: whether the ingress writes a JSON object for each request to logs/access.log in the state directory.
            [log] max_mib bounds it. It holds addresses of clients.
        public_scheme: of the addresses that users and apps get; "https" when a proxy in front does TLS. "" means https
            with certificates by ACME, else http.
        public_port: of the addresses that users and apps get; 0 means ports.ingress for http. For https it means
            ports.ingress_tls with certificates by ACME or an apex_domain below localhost, else 443.
        api_hostname: under which the api is reached through the ingress; "" means the host of external_url, else
            apex_domain.
    """

    apex_domain: str = "sealift.localhost"
    bind: str = "127.0.0.1"
    trusted_proxies: tuple[str, ...] = LOOPBACK_NETWORKS
    access_log: bool = False
    public_scheme: Literal["", "http", "https"] = ""
    public_port: int = 0
    api_hostname: str = ""

    def problems(self) -> list[str]:
        """Trusted networks are written as such; the address, the port and the hostname are such."""
        found = network_problems("trusted_proxies", self.trusted_proxies)
        try:
            IPv4Address(self.bind)
        except ValueError:
            found.append(f"bind: {self.bind!r} is no IPv4 address of this machine, such as 127.0.0.1 or 0.0.0.0")
        if self.api_hostname and not is_hostname(self.api_hostname):
            found.append(f"api_hostname: {self.api_hostname!r} is no hostname in lower case, e.g. deploy.example.com")
        if not 0 <= self.public_port <= PORT_MAX:
            found.append(f"public_port: {self.public_port} is not a port (0 to {PORT_MAX}; 0 means the usual one)")
        return found


class Tls(CertificateSettings):
    """HTTPS for the apps and for the installation itself.

    Without an e-mail address, the installation's own certificate authority issues all certificates (`sealift trust`).

    Attributes:
        enabled: false: no certificates are issued, and all is plain HTTP.
        email: turns ACME on; the certificate authority writes to it about problems.
        directory: URL of the ACME directory.
        ca_file: PEM of the authorities that the ACME server's own certificate is checked with; "": the usual ones.
        eab_key_id: of the external account binding, where the authority asks for one.
        eab_hmac_key: its key, in base64url, as the authority shows it.
        dns: a DNS server that takes updates, for wildcard certificates; absent: none.
        redirect: whether hostnames that have a certificate lead from HTTP to HTTPS; absent: with ACME they do.
        hsts_max_age_s: browsers use HTTPS only for so long after each answer; 0: they are told nothing.
    """

    redirect: bool | None = None
    hsts_max_age_s: int = 0

    def problems(self) -> list[str]:
        """As for the services; HSTS lasts two years at most."""
        return super().problems() + hsts_problems("hsts_max_age_s", self.hsts_max_age_s)

    @property
    def redirects(self) -> bool:
        """Whether plain HTTP leads to HTTPS."""
        return self.enabled and (self.uses_acme if self.redirect is None else self.redirect)


class Restate(Strict):
    """The workflow engine.

    Attributes:
        binary: path of restate-server; "" looks into SEALIFT_RESTATE, node_modules of this repository, then PATH.
        rocksdb_memory_mib: its largest memory pool; the process needs about 120 MiB more.
    """

    binary: str = ""
    rocksdb_memory_mib: int = 64

    def problems(self) -> list[str]:
        """Less memory than this stalls its writes."""
        return _at_least("rocksdb_memory_mib", self.rocksdb_memory_mib, 32)


class Egress(Strict):
    """What apps and, on a private engine, RUN steps of builds reach beside the public internet.

    The resolvers of this machine and the ingress are open by themselves. Every other address of this machine, of
    private networks and of 169.254.0.0/16 is closed.

    Attributes:
        allow: private ranges that apps need, e.g. ["10.1.2.0/24"] for a database in the LAN. This machine's own
            addresses in them, and other apps, stay closed.
    """

    allow: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        """Ranges are private IPv4 networks."""
        return allow_problems(self.allow)


class Builds(Strict):
    """What all builds of a private engine may use together.

    Attributes:
        memory_mib: a build that needs more is ended; 0 means half of the machine's.
        cpu_millicores: 1000 are one core; 0 means all cores but half a one. Apps and services go first.
        pids: processes and threads; one step gets at most three quarters of them.
        disk_mib: what the steps under way may have written; beyond it, the one that wrote most is ended. 0 means half
            of what was free before the first of them.
        min_free_mib: what builds leave free on the engine's disk; 0 means a twentieth of the disk, at most 5 GiB.
    """

    memory_mib: int = 0
    cpu_millicores: int = 0
    pids: int = 4096
    disk_mib: int = 0
    min_free_mib: int = 0

    def problems(self) -> list[str]:
        """Less than this builds nothing."""
        found = [] if self.memory_mib == 0 else _at_least("memory_mib", self.memory_mib, 128)
        found += [] if self.cpu_millicores == 0 else _at_least("cpu_millicores", self.cpu_millicores, 100)
        found += [] if self.disk_mib == 0 else _at_least("disk_mib", self.disk_mib, 64)
        found += _at_least("min_free_mib", self.min_free_mib, 0)
        return found + _at_least("pids", self.pids, 64)


class Limits(Strict):
    """What one deploy may use.

    Attributes:
        max_context_bytes: largest build context archive.
        build_slots: builds at the same time. Absent: a new installation gets 2, an existing one keeps what it has.
        build_timeout_s: a build that takes longer fails.
    """

    max_context_bytes: int = 1024 * 1024 * 1024
    build_slots: int | None = None
    build_timeout_s: int = 1800

    def problems(self) -> list[str]:
        """Each is positive."""
        return [
            line
            for key in ("max_context_bytes", "build_slots", "build_timeout_s")
            if (value := getattr(self, key)) is not None
            for line in _at_least(key, value, 1)
        ]


class Retention(Strict):
    """What cleaning up keeps; the rest is fixed, see docs/limits.md.

    Attributes:
        images_per_environment: so many of the newest ready deployments of each environment keep their image, to be
            rolled back to. What runs, is routed or is about to be keeps it in any case.
        standby_ttl_s: so long a replaced deployment stays warm for an instant rollback.
    """

    images_per_environment: int = 10
    standby_ttl_s: int = 1800

    def problems(self) -> list[str]:
        """At least one image, else nothing could be rolled back to; the worker has the same limits."""
        found = []
        if not 1 <= self.images_per_environment <= 1000:
            found.append(f"images_per_environment: expected 1 to 1000, got {self.images_per_environment}")
        if not 0 <= self.standby_ttl_s <= MAX_STANDBY_S:
            found.append(f"standby_ttl_s: expected 0 to {MAX_STANDBY_S}, got {self.standby_ttl_s}")
        return found


class Metrics(Strict):
    """Prometheus metrics. Those of the api are always at its HTTP port.

    Attributes:
        serve: whether worker and krane answer /metrics on their ports. They ask for no key, and Dockerfiles can reach
            them on loopback; there are only counts in them.
    """

    serve: bool = True


class Log(Strict):
    """Logs are in <state_dir>/logs, two files per process.

    Attributes:
        level: of our own services.
        max_mib: size at which a file is put aside and the older one dropped.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    max_mib: int = 20

    def problems(self) -> list[str]:
        """A log holds at least something."""
        return _at_least("max_mib", self.max_mib, 1)


class EngineBuilds(BuilderSettings):
    """Builds by the Docker engine that runs the apps.

    Attributes:
        backend: what builds; "docker": the BuildKit of the engine that runs the apps.
    """

    backend: Literal["docker"] = "docker"


class ObjectFiles(StorageSettings):
    """Objects in the folder objects of the state directory.

    Attributes:
        backend: where build contexts are; "disk": in the state directory, served by the api.
    """

    backend: Literal["disk"] = "disk"


class TelemetryFile(TelemetryConfig):
    """Build steps and logs in telemetry.db of the state directory.

    Attributes:
        backend: where steps and lines of builds are kept; "sqlite": in telemetry.db.
    """

    backend: Literal["sqlite"] = "sqlite"


class Logs(Strict):
    """What apps print: how much is kept, and for how long.

    Attributes:
        retention_days: 1..90; older lines are deleted.
        mib_per_deployment: about how much of each deployment is kept, in MiB: 1..10240; the newest lines.
        kib_per_s: of each instance, sustained, in KiB a second: 1..1048576; what is above that is cut, with a mark in
            its place.
        burst_mib: of each instance at once, in MiB: 1..1024.
    """

    retention_days: int = 7
    mib_per_deployment: int = 100
    kib_per_s: int = 1024
    burst_mib: int = 32

    def problems(self) -> list[str]:
        """Each within its bounds; the services have the same."""
        bounds = (
            ("retention_days", self.retention_days, 90),
            ("mib_per_deployment", self.mib_per_deployment, 10240),
            ("kib_per_s", self.kib_per_s, 1 << 20),
            ("burst_mib", self.burst_mib, 1024),
        )
        return [f"{key}: expected 1 to {most}, got {value}" for key, value, most in bounds if not 1 <= value <= most]


def _at_least(key: str, value: int, least: int) -> list[str]:
    return [] if value >= least else [f"{key}: {value} is below the least value {least}"]
