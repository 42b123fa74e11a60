"""The keys that all builders have. Nothing here loads a builder: the supervisor reads these keys and passes them on."""

from dataclasses import dataclass

from pkg.config import Strict
from pkg.depot.config import DepotConfig
from pkg.images.ref import is_registry_ref
from pkg.platforms import Platform
from pkg.registry import RegistryConfig

MAX_TIMEOUT_S = 24 * 3600
# BuildKit's own choice; it is pulled by the daemon.
SBOM_SCANNER = "docker/buildkit-syft-scanner:stable-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderSections:
    """The sections of a worker's configuration beside `[build]` that builders take something from.

    Attributes:
        registry: where builders push each image; None: the image stays where it was built.
        depot: Depot's API.
    """

    registry: RegistryConfig | None = None
    depot: DepotConfig | None = None


class BuilderSettings(Strict):
    """Base of the keys that configure a builder. The key `backend` of each section names its builder.

    Attributes:
        timeout_s: a build that takes longer fails; 10 to 86400.
        platform: of builds that name none: linux/amd64 or linux/arm64; "" is the builder's own.
    """

    timeout_s: int = 1800
    platform: str = ""

    def problems(self) -> list[str]:
        """The timeout is in its range, and the platform is one."""
        found = []
        if not 10 <= self.timeout_s <= MAX_TIMEOUT_S:
            found.append(f"timeout_s: expected 10 to {MAX_TIMEOUT_S}, got {self.timeout_s}")
        try:
            Platform.parse(self.platform)
        except ValueError as error:
            found.append(f"platform: {error}, got {self.platform!r}")
        return found

    @property
    def default_platform(self) -> Platform | None:
        """The platform of builds that name none; None: the builder's own."""
        return Platform.parse(self.platform)

    @property
    def needs_no_etag(self) -> bool:
        """Whether its BuildKit may be below 0.18, which must see no ETag of a build context (docs/adr/0008)."""
        return False

    @property
    def is_elsewhere(self) -> bool:
        """Whether builds run outside of this installation: the object store must have a URL that leads there."""
        return False

    def problems_beside(self, sections: BuilderSections) -> list[str]:
        """Which sections this builder requires and are absent; one line each, beginning with the section's name."""
        return []


class PushingSettings(BuilderSettings):
    """Base of the keys of builders whose BuildKit pushes to `[registry]`.

    Attributes:
        sbom_scanner: image that makes SBOMs, pulled by the BuildKit; "" makes none.
    """

    sbom_scanner: str = SBOM_SCANNER

    def problems(self) -> list[str]:
        """See `BuilderSettings.problems`; the scanner is an image."""
        found = super().problems()
        if self.sbom_scanner and not is_registry_ref(self.sbom_scanner):
            found.append(f"sbom_scanner: expected the name of an image, got {self.sbom_scanner!r}")
        return found
