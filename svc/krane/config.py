"""krane's configuration, on one screen."""

from ipaddress import IPv4Network
from pathlib import Path

from pkg.config import Strict
from pkg.config.sections import (
    LOOPBACK_NETWORKS,
    Log,
    Metrics,
    Tracing,
    address_problems,
    hsts_problems,
    network_problems,
    range_problems,
    split_address,
)
from pkg.images.config import Images, RegistryLogin, login_problems
from pkg.kubernetes.config import Kubernetes
from svc.krane.ingress.hostnames import address_problem, hostname_problem


class Api(Strict):
    """The control plane krane dials.

    Attributes:
        address: host:port of the api's gRPC; "https://host:port" for TLS.
        key_file: 0600 file with krane's key (role cluster); the stored snapshot is encrypted with a key drawn from it.
    """

    address: str
    key_file: Path

    @property
    def is_tls(self) -> bool:
        """Whether to verify the api by the system's certificate authorities."""
        return self.address.startswith("https://")

    @property
    def target(self) -> str:
        """The address as gRPC wants it."""
        return self.address.removeprefix("https://").removeprefix("http://").rstrip("/")

    def problems(self) -> list[str]:
        """The address is host:port."""
        return address_problems("address", self.target)


class Runtime(Strict):
    """What runs the instances.

    Attributes:
        backend: "docker" or "kubernetes". Its own keys are in the section of its name: `[docker]`, `[kubernetes]`.
    """

    backend: str = "docker"


class Docker(Strict):
    """The Docker engine that runs the instances.

    Attributes:
        socket: path of the engine's socket.
        network: name of the bridge network of this region, to which "-v2" is added; made, and owned by label. Two
            kranes on one machine need two names.
        address_pool: range from which the network takes a /22, e.g. "10.160.128.0/17"; "" lets the engine choose.
        cgroup_parent: control group in which containers are made, e.g. "/apps"; "": the engine's default.
    """

    socket: Path = Path("/var/run/docker.sock")
    network: str = "sealift"
    address_pool: str = ""
    cgroup_parent: str = ""

    @property
    def range(self) -> IPv4Network | None:
        """The address pool; None: the engine's choice."""
        return IPv4Network(self.address_pool) if self.address_pool else None

    def problems(self) -> list[str]:
        """The address pool is a range with room for a network."""
        return range_problems("address_pool", self.address_pool)


class Logs(Strict):
    """How much of what an instance prints is kept. What is above that is cut, with a mark in its place.

    Attributes:
        kib_per_s: sustained, in KiB a second: 1..1048576.
        burst_mib: at once, in MiB: 1..1024.
    """

    kib_per_s: int = 1024
    burst_mib: int = 32

    def problems(self) -> list[str]:
        """Both are within their bounds."""
        bounds = (("kib_per_s", self.kib_per_s, 1 << 20), ("burst_mib", self.burst_mib, 1024))
        return [f"{key}: expected 1 to {most}, got {value}" for key, value, most in bounds if not 1 <= value <= most]


class Ingress(Strict):
    """The data plane next to krane.

    Attributes:
        listen: host:port where Envoy takes requests.
        ads_socket: unix socket on which Envoy gets its configuration from krane.
        admin_socket: unix socket of Envoy's admin interface.
        trusted_proxies: addresses and networks of the proxies in front whose X-Forwarded-* headers are believed; of
            all others they are replaced.
        access_log: file to which Envoy writes a JSON object for each request; "/dev/stdout" is its standard output; ""
            writes none. Whoever names a file bounds its size.
        tls_listen: host:port where Envoy takes requests by HTTPS; empty: it does not.
        public_tls_port: under which clients reach `tls_listen`; redirects name it.
        redirect: whether plain HTTP is redirected to HTTPS for hostnames that have a certificate.
        hsts_max_age_s: seconds of the Strict-Transport-Security header of answers by HTTPS; 0: none is sent.
        api_hostname: the hostname under which the api is reached through Envoy; empty: it is not.
        api_grpc: host:port of the api's gRPC, for requests to `api_hostname`.
        api_http: host:port of the api's HTTP, for requests to `api_hostname`.
    """

    listen: str = "127.0.0.1:7480"
    ads_socket: Path
    admin_socket: Path
    trusted_proxies: tuple[str, ...] = LOOPBACK_NETWORKS
    access_log: str = ""
    tls_listen: str = ""
    public_tls_port: int = 443
    redirect: bool = False
    hsts_max_age_s: int = 0
    api_hostname: str = ""
    api_grpc: str = ""
    api_http: str = ""

    @property
    def draining_mark(self) -> Path:
        """A file that is there while Envoy drains, to end after that."""
        return self.admin_socket.with_suffix(".draining")

    def problems(self) -> list[str]:
        """Addresses are host:port; socket paths fit sun_path; trusted networks are written as such; TLS is complete."""
        long = [
            f"{key}: {len(str(path))} characters; a socket path holds at most 107"
            for key, path in (("ads_socket", self.ads_socket), ("admin_socket", self.admin_socket))
            if len(str(path)) > 107
        ]
        trusted = network_problems("trusted_proxies", self.trusted_proxies)
        return _listen_problems("listen", self.listen) + long + trusted + self._tls_problems() + self._api_problems()

    def _tls_problems(self) -> list[str]:
        found = _listen_problems("tls_listen", self.tls_listen) if self.tls_listen else []
        if not 1 <= self.public_tls_port <= 65535:
            found.append(f"public_tls_port: expected 1 to 65535, got {self.public_tls_port}")
        found += hsts_problems("hsts_max_age_s", self.hsts_max_age_s)
        if self.redirect and not self.tls_listen:
            found.append("redirect: it leads to HTTPS, so it needs tls_listen")
        return found

    def _api_problems(self) -> list[str]:
        if not self.api_hostname:
            return []
        found = []
        if problem := hostname_problem(self.api_hostname):
            found.append(f"api_hostname: {problem}")
        for key, address in (("api_grpc", self.api_grpc), ("api_http", self.api_http)):
            found += address_problems(key, address) if address else [f"{key}: api_hostname needs it, as host:port"]
        return found


class KraneConfig(Strict):
    """The configuration of krane.

    Attributes:
        instance_id: shown in logs, metrics and reports; made at start when absent.
        region: 1..40 of a-z 0-9 -; the region the key is bound to.
        state_dir: 0700 folder for the stored snapshot; made when missing.
        registries: logins with which the engine or the nodes pull, one for each registry that asks for one; none of
            them is sent to another registry.
    """

    instance_id: str | None = None
    region: str
    state_dir: Path
    api: Api
    runtime: Runtime = Runtime()
    docker: Docker = Docker()
    kubernetes: Kubernetes = Kubernetes()
    registries: tuple[RegistryLogin, ...] = ()
    images: Images = Images()
    ingress: Ingress
    logs: Logs = Logs()
    metrics: Metrics = Metrics()
    log: Log = Log()
    tracing: Tracing = Tracing()

    def problems(self) -> list[str]:
        """A region is a DNS label that leaves room for a suffix; a registry has one login."""
        allowed = "abcdefghijklmnopqrstuvwxyz0123456789-"
        fits = 1 <= len(self.region) <= 40 and all(character in allowed for character in self.region)
        found = [] if fits else [f"region: expected 1 to 40 of a-z, 0-9 and -, got {self.region!r}"]
        return found + login_problems("registries", self.registries)


def _listen_problems(key: str, listen: str) -> list[str]:
    """What is wrong with an address of Envoy's. It refuses names, later and less clearly."""
    if found := address_problems(key, listen):
        return found
    problem = address_problem(*split_address(listen))
    return [f"{key}: {problem}; Envoy listens on an IP address and a port, e.g. 127.0.0.1:7480"] if problem else []
