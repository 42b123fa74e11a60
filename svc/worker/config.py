"""The worker's configuration, on one screen."""

from pkg.builders.docker.config import DockerConfig
from pkg.builders.factory import AnyBuilderConfig
from pkg.builders.settings import BuilderSections
from pkg.certificates.config import Tls
from pkg.config import Strict
from pkg.config.sections import (
    Database,
    Ingress,
    Log,
    Metrics,
    Tracing,
    Vault,
    address_problems,
    url_problems,
)
from pkg.config.sections import Restate as SharedRestate
from pkg.depot.config import DepotConfig
from pkg.registry import RegistryConfig
from pkg.storage.factory import AnyStorageConfig
from pkg.telemetry.factory import AnyTelemetryConfig
from pkg.telemetry.port import MAX_LOG_DAYS

DAY_S = 24 * 3600


class Http(Strict):
    """Where Restate reaches the worker.

    Attributes:
        listen: host:port, cleartext HTTP/2.
        uri: how Restate dials it, e.g. "http://127.0.0.1:7402"; workflows in flight are bound to it.
    """

    listen: str = "127.0.0.1:7402"
    uri: str = "http://127.0.0.1:7402"

    def problems(self) -> list[str]:
        """An address, and a URL."""
        return address_problems("listen", self.listen) + url_problems("uri", self.uri)


class Restate(SharedRestate):
    """The workflow engine.

    Attributes:
        ingress: "unix:///path/to/ingress.sock" or "http://host:port".
        admin: the same for the admin API.
        identity_public_key: "publickeyv1_..."; requests that this key did not sign are refused.
    """

    identity_public_key: str

    def problems(self) -> list[str]:
        """Two URLs and a key of Restate's form."""
        found = super().problems()
        if not self.identity_public_key.startswith("publickeyv1_"):
            found.append(f"identity_public_key: expected publickeyv1_..., got {self.identity_public_key[:20]!r}")
        return found


class Deploy(Strict):
    """Deploys.

    Attributes:
        standby_ttl_s: how long a replaced deployment stays warm for an instant rollback.
        unrouted_ttl_s: how long a ready deployment that no shared hostname points at keeps running.
        route_timeout_s: how long the ingress may take to apply a switch before it is undone.
        wait_poll_s: how often a wait reads the database when no notification comes.
    """

    standby_ttl_s: int = 1800
    unrouted_ttl_s: int = 1800
    route_timeout_s: int = 60
    wait_poll_s: float = 5.0

    def problems(self) -> list[str]:
        """Every duration is in its range."""
        return [
            *_range_problems("standby_ttl_s", self.standby_ttl_s, 0, 30 * DAY_S),
            *_range_problems("unrouted_ttl_s", self.unrouted_ttl_s, 0, 30 * DAY_S),
            *_range_problems("route_timeout_s", self.route_timeout_s, 1, 3600),
            *_range_problems("wait_poll_s", self.wait_poll_s, 0.01, 60),
        ]


class Logs(Strict):
    """What apps print, as far as the worker cleans it up.

    Attributes:
        retention_days: 1..90; older lines are deleted.
    """

    retention_days: int = 7

    def problems(self) -> list[str]:
        """As long as every store keeps them."""
        return _range_problems("retention_days", self.retention_days, 1, MAX_LOG_DAYS)


class WorkerConfig(Strict):
    """The worker's configuration.

    Attributes:
        instance_id: shown in logs, metrics and traces; made at start when absent.
        registry: where builders push images; absent: an image stays where it was built.
        depot: absent: no builder uses Depot.
        retention: refused: its key images_per_environment is in the api's configuration now.
    """

    instance_id: str | None = None
    http: Http = Http()
    database: Database
    telemetry: AnyTelemetryConfig
    objects: AnyStorageConfig
    restate: Restate
    vault: Vault
    ingress: Ingress = Ingress()
    tls: Tls = Tls()
    build: AnyBuilderConfig = DockerConfig()
    registry: RegistryConfig | None = None
    depot: DepotConfig | None = None
    deploy: Deploy = Deploy()
    logs: Logs = Logs()
    retention: dict[str, int] | None = None
    metrics: Metrics = Metrics()
    log: Log = Log()
    tracing: Tracing = Tracing()

    def problems(self) -> list[str]:
        """The store can be reached, the builder has its sections, nothing is set that another service reads now."""
        elsewhere = "builders on other machines fetch build contexts from it" if self.build.is_elsewhere else ""
        wrong = [
            f"objects.{problem}"
            for problem in self.objects.problems_in_use(
                who_is_elsewhere=elsewhere, needs_no_etag=self.build.needs_no_etag
            )
        ]
        wrong += self.build.problems_beside(self.builder_sections)
        if self.retention is not None:
            wrong.append(
                "retention: images are cleaned up by the api and krane now; "
                "move [retention] images_per_environment to the api's configuration"
            )
        return wrong

    @property
    def builder_sections(self) -> BuilderSections:
        """What of this is for the builder."""
        return BuilderSections(registry=self.registry, depot=self.depot)


def _range_problems(key: str, value: float, low: float, high: float) -> list[str]:
    return [] if low <= value <= high else [f"{key}: expected {low} to {high}, got {value}"]
