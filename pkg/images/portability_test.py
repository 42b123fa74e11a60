import pytest

from pkg.images.portability import obstacle


@pytest.mark.parametrize(
    ("runtimes", "expected"),
    [
        ({}, ""),
        ({"local": "docker"}, ""),
        ({"fra": "docker", "ams": "docker"}, "2 regions are registered (ams, fra)"),
        ({"fra": "kubernetes"}, "the region fra runs on Kubernetes, which pulls images from a registry"),
        ({"ams": "docker", "fra": "kubernetes"}, "the region fra runs on Kubernetes"),
    ],
)
def test_one_docker_region_can_run_what_its_engine_has(runtimes: dict[str, str], expected: str) -> None:
    """Promise: only a single region with a Docker engine needs no registry; otherwise the reason is named."""
    assert obstacle(runtimes).startswith(expected)
    assert bool(obstacle(runtimes)) == bool(expected)
