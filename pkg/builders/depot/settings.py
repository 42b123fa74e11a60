"""The keys of builds by Depot; those of its API are in `pkg.depot.config`."""

from typing import Literal

from pkg.builders.settings import BuilderSections, PushingSettings
from pkg.config.sections import stays_here_problems


class DepotSettings(PushingSettings):
    """Builds by Depot.

    Attributes:
        backend: "depot": machines of Depot, see `[depot]`, which push to `[registry]`.
    """

    backend: Literal["depot"] = "depot"

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
