"""Adding a service has a checklist in docs/releases.md: what was forgotten fails here, by its step."""

import re

import pytest

from tests.packaging.repository import IMAGES, ROOT, SERVICES

WORKFLOW = ".depot/workflows/service-release.yaml"


def name_of(service: str) -> str:
    """What its image and its tags are called."""
    return service.replace("_", "-")


@pytest.mark.parametrize(
    ("step", "path"),
    [
        (1, "svc/{}/config.py"),
        (1, "svc/{}/run.py"),
        (1, "dev/config/{}.toml"),
        (2, "build/{}/main.py"),
        (3, "build/{}/BUILD.bazel"),
    ],
)
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_complete(service: str, step: int, path: str) -> None:
    """Promise: entry point, image, rooms, example of configuration."""
    file = ROOT / path.format(service)
    assert file.exists(), f"step {step} of the checklist: {path.format(service)} is missing"
    if file.name == "BUILD.bazel":
        assert "\nservice_image(" in file.read_text(), f"step {step}: {path.format(service)} calls no service_image"


def test_exactly_the_images_are_loaded() -> None:
    """Promise: `make oci-load` forgets none and names none of the past."""
    named = re.findall(r"^\tbazel run //build/(\w+):load$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(named) == IMAGES, "step 5 of the checklist: oci-load in the Makefile has one line for each image"


def test_tags_release_exactly_the_images() -> None:
    """Promise: each image has its own tag entry."""
    tags = re.findall(r"""^\s*- ["']?([\w-]+)/v\[""", (ROOT / WORKFLOW).read_text(), re.MULTILINE)
    assert sorted(tags) == sorted(map(name_of, IMAGES)), f"step 4 of the checklist: one tag an image in {WORKFLOW}"


@pytest.mark.parametrize(
    ("step", "path"),
    [
        (6, "docs/releases.md"),
        (6, "docs/architecture.md"),
        (7, "dev/compose.yaml"),
        (7, "dev/k8s/base/kustomization.yaml"),
        (7, "dev/Tiltfile"),
        (7, ".depot/workflows/ci.yaml"),
    ],
)
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_named(service: str, step: int, path: str) -> None:
    """Promise: the docs name it; every way to run the stack runs all services; CI starts every image."""
    names = rf"\b({service}|{name_of(service)})\b"
    assert re.search(names, (ROOT / path).read_text()), f"step {step} of the checklist: {path} does not name {service}"
