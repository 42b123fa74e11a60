"""The section that configures builds by Depot."""

from typing import Literal

from pkg.builders.depot.backend import DepotBuilder
from pkg.builders.port import BuilderConfig, BuilderSections
from pkg.builders.pushing import SBOM_SCANNER
from pkg.config.sections import stays_here_problems
from pkg.db import Database
from pkg.depot import DepotProjects


class DepotBuilderConfig(BuilderConfig):
    """Builds by Depot.

    Attributes:
        backend: what builds; "depot": machines of Depot, see `[depot]`, which push to `[registry]`.
    """

    backend: Literal["depot"] = "depot"

    @property
    def is_elsewhere(self) -> bool:
        """See `BuilderConfig.is_elsewhere`."""
        return True

    def problems_beside(self, sections: BuilderSections) -> list[str]:
        """See `BuilderConfig.problems_beside`; Depot's machines push to the registry, so it is not on loopback."""
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

    def open_beside(self, sections: BuilderSections, db: Database) -> DepotBuilder:
        """See `BuilderConfig.open_beside`."""
        assert sections.depot is not None  # problems_beside
        assert sections.registry is not None
        return DepotBuilder(sections.depot, sections.registry, DepotProjects(db), sbom_scanner=SBOM_SCANNER)
