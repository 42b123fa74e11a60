from pathlib import Path

import pytest

from pkg.config import Secret
from pkg.ids import new_id
from pkg.images import build_image
from pkg.registry import RegistryConfig

SECRET = Secret("s")


@pytest.mark.parametrize(
    "url", ["registry.example.com", "127.0.0.1:5000", "r.example.com:443/apps/more", "localhost/b-c/d__e"]
)
def test_urls(url: str) -> None:
    """Promise: what is accepted begins the name of an image, and gives its host."""
    config = RegistryConfig(url=url, password=SECRET)
    assert config.problems() == []
    image = build_image(new_id("proj"), new_id("bld"), url)
    assert str(image).startswith(f"{url}/proj-")
    assert config.host == url.partition("/")[0]


@pytest.mark.parametrize(
    "url", ["", "https://r.example.com", "R.example.com", "r.example.com/", "r.example.com/a:b", "a b"]
)
def test_what_begins_no_image(url: str) -> None:
    """Promise: a scheme, capitals, a tag and spaces are refused, with the value."""
    (problem,) = RegistryConfig(url=url, password=SECRET).problems()
    assert problem.startswith("url: ")
    assert repr(url) in problem


@pytest.mark.parametrize("url", ["registry", "registry/apps"])
def test_what_engines_take_for_docker_hub(url: str) -> None:
    """Promise: no account is sent to Docker Hub because a host was written without its domain or port."""
    (problem,) = RegistryConfig(url=url, password=SECRET).problems()
    assert problem.startswith("url: engines take 'registry' for a folder of Docker Hub")


def test_all_problems_at_once() -> None:
    """Promise: an operator reads everything that is wrong in one go, and no password."""
    problems = RegistryConfig(url="X", username="", password=Secret(""), ca_file=Path("ca.pem")).problems()
    assert [problem.partition(":")[0] for problem in problems] == ["url", "username", "password", "ca_file"]
    assert "hunter2" not in repr(RegistryConfig(url="a", password=Secret("hunter2")))
