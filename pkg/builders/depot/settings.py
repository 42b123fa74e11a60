"""The keys of builds by Depot; those of its API are in `pkg.depot.config`."""

from typing import Literal

from pkg.builders.settings import SBOM_SCANNER, BuilderSections, BuilderSettings
from pkg.config.sections import stays_here_problems
from pkg.images.ref import is_registry_ref


class DepotSettings(BuilderSettings):
    """Builds by Depot.

    Attributes:
        backend: what builds; "depot": machines of Depot, see `[depot]`, which push to `[registry]`.
        sbom_scanner: image that makes SBOMs, pulled by the machine; "" makes none.
    """

    backend: Literal["depot"] = "depot"
    sbom_scanner: str = SBOM_SCANNER

    def problems(self) -> list[str]:
        """See `BuilderSettings`; the scanner is an image."""
        wrong = super().problems()
        if self.sbom_scanner and not is_registry_ref(self.sbom_scanner):
            wrong.append(f"sbom_scanner: expected the name of an image, got {self.sbom_scanner!r}")
        return wrong

    @property
    def is_elsewhere(self) -> bool:
        """See `BuilderSettings.is_elsewhere`."""
        return True

    def problems_beside(self, sections: BuilderSections) -> list[str]:
        """See `BuilderSettings.problems_beside`; Depot's machines push to the registry, so it is not on loopback."""
        choice = 'is required by [build] backend = "depot"'
        wrong = []
        if sections.depot is None:
            wrong.append(f"depot: {choice}: set access_token, and the other keys of [depot] as you like")
        if sections.registry is None:
            wrong.append(f"registry: {choice}, which pushes every image: set url, username and password")
        else:
            who = "the machines of Depot push to it"
            wrong += stays_here_problems("registry.url", f"https://{sections.registry.url}", who)
        return wrong
