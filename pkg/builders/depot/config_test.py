"""What `[build] backend = "depot"` requires of the other sections is said at the start, all at once."""

from pkg.builders.depot.config import DepotBuilderConfig
from pkg.builders.settings import BuilderSections
from pkg.config import Secret
from pkg.depot.config import DepotConfig
from pkg.registry import RegistryConfig

DEPOT = DepotConfig(access_token=Secret("x"))


def test_every_missing_section_is_named() -> None:
    """Promise: token and registry are two settings, and each is asked for by its section."""
    wrong = DepotBuilderConfig().problems_beside(BuilderSections())
    assert [problem.partition(":")[0] for problem in wrong] == ["depot", "registry"]
    assert all('[build] backend = "depot"' in problem for problem in wrong)


def test_the_registry_is_reached_from_depot() -> None:
    """Promise: a registry on loopback is refused by its key; another one is fine."""
    for url, keys in (
        ("127.0.0.1:5000/apps", ["registry.url"]),
        ("localhost", ["registry.url"]),
        ("r.example.com", []),
    ):
        registry = RegistryConfig(url=url, password=Secret("y"))
        wrong = DepotBuilderConfig().problems_beside(BuilderSections(registry=registry, depot=DEPOT))
        assert [problem.partition(":")[0] for problem in wrong] == keys


def test_the_scanner_is_an_image() -> None:
    """Promise: what can't be pulled is refused; none is fine."""
    for scanner, count in (("docker/buildkit-syft-scanner:1", 0), ("", 0), ("https://example.com/scanner", 1)):
        assert len(DepotBuilderConfig(sbom_scanner=scanner).problems()) == count
