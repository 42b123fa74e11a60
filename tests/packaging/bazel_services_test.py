"""Adding a service is a checklist (docs/releases.md); each line of it that was forgotten fails here."""

import re

import pytest

from tests.packaging.repository import ROOT

SERVICES = sorted(path.parent.name for path in (ROOT / "build").glob("*/main.py"))
WORKFLOW = ROOT / ".depot/workflows/service-release.yaml"


def name_of(service: str) -> str:
    return service.replace("_", "-")


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_complete(service: str) -> None:
    """Promise: entry point, image, rooms, example of configuration."""
    for path in (
        f"build/{service}/BUILD.bazel",
        f"svc/{service}/config.py",
        f"svc/{service}/run.py",
        f"dev/config/{service}.toml",
    ):
        assert (ROOT / path).exists(), path
    assert "\nservice_image(" in (ROOT / f"build/{service}/BUILD.bazel").read_text()


def test_images_are_loaded_for_exactly_the_services() -> None:
    """Promise: `make oci-load` forgets none and names none of the past."""
    named = re.findall(r"^\tbazel run //build/(\w+):load$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(named) == SERVICES


def test_tags_release_exactly_the_services() -> None:
    """Promise: each service has its own tag entry."""
    tags = re.findall(r"""^\s*- ["']?([\w-]+)/v\[""", WORKFLOW.read_text(), re.MULTILINE)
    assert sorted(tags) == sorted(map(name_of, SERVICES))


@pytest.mark.parametrize("path", ["docs/releases.md", "docs/architecture.md"])
@pytest.mark.parametrize("service", SERVICES)
def test_pages_name_every_service(path: str, service: str) -> None:
    """Promise: the docs tell of it."""
    assert re.search(rf"\b{service}\b", (ROOT / path).read_text())


@pytest.mark.parametrize("path", ["dev/Tiltfile", "dev/compose.yaml", "dev/compose.sh", ".depot/workflows/ci.yaml"])
@pytest.mark.parametrize("service", SERVICES)
def test_development_environments_have_every_service(path: str, service: str) -> None:
    """Promise: where there is a way to run the stack, it runs all of it; CI builds and starts every image."""
    assert re.search(rf"\b{name_of(service)}\b", (ROOT / path).read_text())
