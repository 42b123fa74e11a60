"""Which login an engine gets for which registry."""

from hypothesis import given
from hypothesis import strategies as st

from pkg.config import Secret
from pkg.images import ImageRef
from pkg.images.config import RegistryLogin, login_for, login_problems

HOSTS = ["registry.example.com", "registry.example.com:5000", "ghcr.io", "docker.io", "localhost:5000", "localhost"]
LOGINS = [RegistryLogin(host=host, username=f"for {host}", password=Secret("word")) for host in HOSTS]


@given(host=st.sampled_from([*HOSTS, "evil.example.com", "example.com", "registry.example.com.evil.net"]))
def test_a_login_is_for_its_registry_alone(host: str) -> None:
    """Promise: no registry ever gets the password of another, also not one with a similar name or another port."""
    login = login_for(LOGINS, ImageRef(f"{host}/a/b", "1"))
    assert (login.username if login else "") == (f"for {host}" if host in HOSTS else "")
    assert login_for([one for one in LOGINS if one.host != host], ImageRef(f"{host}/a/b", "1")) is None


def test_one_registry_in_several_spellings() -> None:
    """Promise: case, the port of https and the names of Docker Hub make no difference; twice the same is refused."""
    for name, host in (("nginx", "docker.io"), ("index.docker.io/a", "docker.io"), ("GHCR.io:443/a", "ghcr.io")):
        login = login_for(LOGINS, ImageRef(name))
        assert login is not None
        assert login.host == host
    assert login_for(LOGINS, ImageRef.on_engine("sha256:" + "0" * 64)) is None
    twice = [*LOGINS, RegistryLogin(host="GHCR.io:443", password=Secret("x"))]
    assert login_problems("registries", twice) == ["registries: ghcr.io has more than one login"]
    assert login_problems("registries", LOGINS) == []


def test_what_is_no_login() -> None:
    """Promise: a scheme or a path in the host, and an empty part, are named."""
    for host in ("https://a.example", "a.example/apps", "", "a b"):
        assert len(RegistryLogin(host=host, password=Secret("x")).problems()) == 1
    assert len(RegistryLogin(host="a.example", username="", password=Secret("")).problems()) == 2
