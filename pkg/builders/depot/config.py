"""The section that configures builds by Depot."""

from pkg.builders.depot.backend import DepotBuilder
from pkg.builders.depot.settings import DepotSettings
from pkg.builders.port import BuilderConfig
from pkg.builders.settings import BuilderSections
from pkg.db import Database
from pkg.depot.projects import DepotProjects


class DepotBuilderConfig(DepotSettings, BuilderConfig):
    """Builds by Depot."""

    def open_beside(self, sections: BuilderSections, db: Database) -> DepotBuilder:
        """See `BuilderConfig.open_beside`."""
        assert sections.depot is not None  # problems_beside
        assert sections.registry is not None
        return DepotBuilder(sections.depot, sections.registry, DepotProjects(db), sbom_scanner=self.sbom_scanner)
