"""Configuration of the api."""

from pathlib import Path
from typing import Literal

from pkg.certificates.config import Tls
from pkg.config import Strict
from pkg.config.sections import (
    LOOPBACK_NETWORKS,
    Database,
    Exec,
    Ingress,
    Log,
    Restate,
    Tracing,
    Vault,
    address_problems,
    is_loopback,
    network_problems,
    stays_here,
    url_problems,
)
from pkg.domains.config import Domains
from pkg.images.config import Images
from pkg.images.portability import SET_A_REGISTRY
from pkg.registry.config import RegistryAddress
from pkg.retention.rules import KEEP_PER_ENVIRONMENT
from pkg.storage.factory import AnyStorageConfig
from pkg.telemetry.factory import AnyTelemetryConfig

MAX_CONTEXT_BYTES = 1 << 30
ENGINE_BACKEND = "docker"  # the one that needs no registry


class Grpc(Strict):
    """The gRPC listener.

    Attributes:
        listen: host:port; port 0 asks the system for a free one. Reflection is served only on loopback.
    """

    listen: str = "127.0.0.1:7400"

    def problems(self) -> list[str]:
        """An address is host:port."""
        return address_problems("listen", self.listen)


class Http(Strict):
    """The HTTP listener: health, metrics, uploads and downloads, RPCs as JSON.

    Attributes:
        listen: host:port; port 0 asks the system for a free one.
        external_url: the URL under which clients reach this listener; signed URLs begin with it. Empty: http://<listen>.
        metrics_from: who may read /metrics, which asks for no key: peers on loopback only, or any.
    """

    listen: str = "127.0.0.1:7401"
    external_url: str = ""
    metrics_from: Literal["loopback", "any"] = "loopback"

    def problems(self) -> list[str]:
        """An address is host:port, a URL begins with http."""
        wrong = address_problems("listen", self.listen)
        return wrong + (url_problems("external_url", self.external_url) if self.external_url else [])


class BootstrapKey(Strict):
    """An access key that exists from the first start on.

    Attributes:
        name: shown by ListKeys.
        role: what it may call.
        file: 0600 file that holds the key (slk_ and at least 32 letters or digits).
        region: for role cluster: the region that it speaks for.
    """

    name: str
    role: Literal["admin", "deploy", "cluster"]
    file: Path
    region: str = ""

    def problems(self) -> list[str]:
        """A region belongs to role cluster and to no other."""
        if (self.role == "cluster") == bool(self.region):
            return []
        return [f"region: {'is required for' if self.role == 'cluster' else 'is only for'} role cluster"]


class Limits(Strict):
    """Bounds on what users may ask for.

    Attributes:
        max_context_bytes: largest build context archive.
        build_slots: builds of the workspace that run at once, 1 to 64, from the next start on. Absent: a new workspace
            gets 2, an existing one keeps what it has.
    """

    max_context_bytes: int = MAX_CONTEXT_BYTES
    build_slots: int | None = None

    def problems(self) -> list[str]:
        """Both are positive."""
        wrong = []
        if self.max_context_bytes < 1:
            wrong.append(f"max_context_bytes: expected at least 1, got {self.max_context_bytes}")
        if self.build_slots is not None and not 1 <= self.build_slots <= 64:
            wrong.append(f"build_slots: expected 1 to 64, got {self.build_slots}")
        return wrong


class Retention(Strict):
    """What cleaning up keeps.

    Attributes:
        images_per_environment: so many of the newest ready deployments of each environment keep their image, to be
            rolled back to; 1 to 1000. What runs, is routed or is about to be keeps it in any case.
    """

    images_per_environment: int = KEEP_PER_ENVIRONMENT

    def problems(self) -> list[str]:
        """At least one, else nothing could be rolled back to."""
        if 1 <= self.images_per_environment <= 1000:
            return []
        return [f"images_per_environment: expected 1 to 1000, got {self.images_per_environment}"]


class Logs(Strict):
    """What apps print, as far as the api bounds it.

    Attributes:
        mib_per_deployment: about how much of each deployment is kept, in MiB: 1..10240; older lines are deleted.
    """

    mib_per_deployment: int = 100

    def problems(self) -> list[str]:
        """Something is kept."""
        if 1 <= self.mib_per_deployment <= 10240:
            return []
        return [f"mib_per_deployment: expected 1 to 10240, got {self.mib_per_deployment}"]


class Build(Strict):
    """Builds, as far as clients ask the api about them.

    Attributes:
        backend: by which the workers build; GetServerInfo returns it.
    """

    backend: str = "docker"


class ApiConfig(Strict):
    """Configuration of the api.

    Attributes:
        instance_id: name of this process in logs, metrics, traces and GetServerInfo; absent: made at every start.
        trusted_proxies: addresses and networks of the proxies in front, as the ingress, whose X-Forwarded-* headers
            say from where a call comes; of all others they mean nothing.
        registry: to which the workers push; a project may name images in it that are its own.
    """

    instance_id: str | None = None
    grpc: Grpc = Grpc()
    http: Http = Http()
    trusted_proxies: tuple[str, ...] = LOOPBACK_NETWORKS
    database: Database
    telemetry: AnyTelemetryConfig
    objects: AnyStorageConfig
    restate: Restate
    vault: Vault
    ingress: Ingress = Ingress()
    tls: Tls = Tls()
    domains: Domains = Domains()
    bootstrap_keys: tuple[BootstrapKey, ...] = ()
    limits: Limits = Limits()
    retention: Retention = Retention()
    logs: Logs = Logs()
    exec: Exec = Exec()
    build: Build = Build()
    registry: RegistryAddress | None = None
    images: Images = Images()
    log: Log = Log()
    tracing: Tracing = Tracing()

    def problems(self) -> list[str]:
        """Clients on other machines reach the object store; every region can run what is built."""
        elsewhere = "clients on other machines upload to it" if self._has_clients_elsewhere() else ""
        found = network_problems("trusted_proxies", self.trusted_proxies)
        found += [
            f"objects.{problem}" for problem in self.objects.problems_in_use(is_api=True, who_is_elsewhere=elsewhere)
        ]
        names = sorted({key.region for key in self.bootstrap_keys if key.region})
        if self.keeps_images_on_an_engine and len(names) > 1:
            found.append(
                f"registry.url: is required, because bootstrap_keys are for {len(names)} regions ({', '.join(names)}) "
                f"and what is built exists on one Docker engine only. {SET_A_REGISTRY}"
            )
        return found

    @property
    def keeps_images_on_an_engine(self) -> bool:
        """Whether what is built exists on one Docker engine only."""
        return self.registry is None and self.build.backend == ENGINE_BACKEND

    def _has_clients_elsewhere(self) -> bool:
        try:
            are_local = is_loopback(self.grpc.listen) and is_loopback(self.http.listen)
        except ValueError:  # told by their own sections
            return False
        return not are_local or bool(self.http.external_url and not stays_here(self.http.external_url))
