"""The stack's config: defaults work, every mistake is named, flags win."""

from pathlib import Path

import msgspec
import pytest

from pkg.builders.depot.settings import DepotSettings
from pkg.config import ConfigError
from svc.standalone.config import StandaloneConfig, read_config
from svc.standalone.sections import Ingress, Tls


def test_no_file_is_needed() -> None:
    """`make up` on a fresh machine has no config file."""
    assert read_config(None, {}) == StandaloneConfig()
    assert StandaloneConfig().problems() == []


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    """Several stacks side by side from one file."""
    path = tmp_path / "c.toml"
    path.write_text('region = "here"\n[ports]\napi = 1\nhttp = 2\n')
    config = read_config(path, {"ports.api": 0, "state_dir": "/tmp/s"})
    assert (config.region, config.ports.api, config.ports.http, config.state_dir) == ("here", 0, 2, "/tmp/s")


def test_every_problem_is_named(tmp_path: Path) -> None:
    """One start, one list of mistakes."""
    path = tmp_path / "c.toml"
    path.write_text('[ports]\napi = 70000\nhttp = 5\nworker = 5\n[log]\nmax_mib = 0\n[engine]\nsocket = "relative"\n')
    with pytest.raises(ConfigError) as raised:
        read_config(path, {})
    text = str(raised.value)
    assert all(key in text for key in ("log.max_mib", "engine.socket"))


@pytest.mark.parametrize("url", ["deploy.example.com", "ftp://x", "https://", "https://x/?a=1", "https://x#a"])
def test_external_url_is_one(url: str) -> None:
    """Signed URLs are this and a path."""
    assert [line for line in StandaloneConfig(external_url=url).problems() if "external_url" in line]
    assert StandaloneConfig(external_url="https://deploy.example.com/sealift").problems() == []


def test_flags_are_checked_too() -> None:
    """A flag is not a way around the rules."""
    with pytest.raises(ConfigError, match=r"ports\.http"):
        read_config(None, {"ports.http": 7400})
    with pytest.raises(ConfigError, match=r"engine\.socket"):
        read_config(None, {"engine.socket": "docker.sock"})
    for wrong in ("10.0.0.0/29", "10.0.0.1/16", "fd00::/64", "ten"):
        with pytest.raises(ConfigError, match=r"engine\.address_pool"):
            read_config(None, {"engine.address_pool": wrong})


def test_a_private_engine_chooses_its_addresses() -> None:
    """What would be ignored is refused."""
    assert read_config(None, {"engine.address_pool": "10.0.0.0/28"}).engine.address_pool == "10.0.0.0/28"
    with pytest.raises(ConfigError, match=r"engine\.address_pool: a private engine chooses"):
        read_config(None, {"engine.address_pool": "10.0.0.0/28", "engine.private": "always"})


@pytest.mark.parametrize(
    ("network", "word"),
    [
        ("proxy.example", "neither an IP address nor a network"),
        ("10.0.0.0/33", "neither an IP address nor a network"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "is everybody"),
        ("::/0", "is everybody"),
        ("", "neither"),
    ],
)
def test_trusted_proxies_are_addresses_and_networks(network: str, word: str) -> None:
    """A proxy on the list may claim to be any client: nothing doubtful is taken."""
    (line,) = Ingress(trusted_proxies=("10.0.0.5", "fd00::/8", network)).problems()
    assert line.startswith(f"trusted_proxies: {network!r}")
    assert word in line
    assert Ingress(trusted_proxies=()).problems() == []
    assert Ingress(trusted_proxies=("10.0.0.1",) * 65).problems() == ["trusted_proxies: 65 entries; at most 64"]


BUILDKITD = '[build]\nbackend = "buildkit"\naddress = "unix:///run/buildkit/buildkitd.sock"\n'
DEPOT = '[build]\nbackend = "depot"\nplatform = "linux/arm64"\n'


def test_what_a_builder_requires_is_told_at_once(tmp_path: Path) -> None:
    """Who changes the builder reads every missing section in one message."""
    path = tmp_path / "c.toml"
    path.write_text(DEPOT + "timeout_s = 60\n")
    with pytest.raises(ConfigError) as raised:
        read_config(path, {})
    assert all(key in str(raised.value) for key in ("build.timeout_s", "depot: ", "registry: "))
    path.write_text('[build]\nbackend = "podman"\n')
    with pytest.raises(ConfigError, match=r"docker.*buildkit|buildkit.*docker"):
        read_config(path, {})


def test_secrets_of_builders_come_from_the_environment(tmp_path: Path) -> None:
    """The file can be shown to others."""
    path = tmp_path / "c.toml"
    path.write_text(
        BUILDKITD
        + '[registry]\nurl = "registry.example.com/apps"\nusername = "pusher"\npassword = "${PUSH_PASSWORD}"\n'
    )
    config = read_config(path, {}, {"PUSH_PASSWORD": "hunter2"})
    assert config.registry is not None
    assert config.registry.password.reveal() == "hunter2"
    assert "hunter2" not in repr(config)


def test_apps_on_a_cluster_need_a_registry_and_a_login(tmp_path: Path) -> None:
    """Who moves apps to a cluster reads at once what that needs; a complete file is taken as it is."""
    path = tmp_path / "c.toml"
    path.write_text('[runtime]\nbackend = "kubernetes"\n')
    with pytest.raises(ConfigError) as raised:
        read_config(path, {})
    assert all(key in str(raised.value) for key in ("registry: is required", "kubernetes.kubeconfig: is required"))
    path.write_text(
        '[runtime]\nbackend = "kubernetes"\n[kubernetes]\nkubeconfig = "/k"\nsecurity = "restricted"\n'
        '[registry]\nurl = "registry.example.com/apps"\nusername = "a"\npassword = "b"\n'
    )
    config = read_config(path, {})
    assert (config.runtime.backend, config.kubernetes.security) == ("kubernetes", "restricted")
    path.write_text('[kubernetes]\nnamespace_prefix = "Bad_"\ncpu_request_percent = 0\negress_denied = ["x"]\n')
    with pytest.raises(ConfigError) as raised:
        read_config(path, {})
    assert all(key in str(raised.value) for key in ("namespace_prefix", "cpu_request_percent", "egress_denied"))


SERVER = "apps.example.com"
ACME = Tls(email="ops@example.com")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (StandaloneConfig(), ("http", 7480)),
        (StandaloneConfig(ingress=Ingress(public_scheme="https")), ("https", 7443)),
        (StandaloneConfig(ingress=Ingress(apex_domain=SERVER)), ("http", 7480)),
        (StandaloneConfig(ingress=Ingress(apex_domain=SERVER, public_scheme="https")), ("https", 443)),
        (StandaloneConfig(ingress=Ingress(apex_domain=SERVER), tls=ACME), ("https", 7443)),
        (StandaloneConfig(ingress=Ingress(apex_domain=SERVER, public_scheme="http"), tls=ACME), ("http", 7480)),
        (StandaloneConfig(ingress=Ingress(apex_domain=SERVER, public_port=443), tls=ACME), ("https", 443)),
        (StandaloneConfig(ingress=Ingress(public_scheme="https"), tls=Tls(enabled=False)), ("https", 443)),
    ],
)
def test_addresses_of_apps_are_https_where_every_client_trusts_it(
    config: StandaloneConfig, expected: tuple[str, int]
) -> None:
    """By default with ACME only; with a proxy in front, that is with another scheme than ours, its usual port."""
    assert (config.public_scheme, config.public_port(7480, 7443)) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (StandaloneConfig(), "sealift.localhost"),
        (StandaloneConfig(external_url="https://Deploy.example.com:8443/x"), "deploy.example.com"),
        (StandaloneConfig(external_url="http://192.0.2.1:7401"), "sealift.localhost"),
        (StandaloneConfig(external_url="http://[2001:db8::1]:7401"), "sealift.localhost"),
        (StandaloneConfig(external_url="https://a.x", ingress=Ingress(api_hostname="b.x")), "b.x"),
    ],
)
def test_the_api_has_a_hostname(config: StandaloneConfig, expected: str) -> None:
    """The one that is set, else that of external_url, else the apex; an address is none."""
    assert config.api_hostname == expected
    for wrong in ("https://x", "10.0.0.1", "Deploy.example.com"):
        assert Ingress(api_hostname=wrong).problems() != []


@pytest.mark.parametrize("bind", ["localhost", "::", "0.0.0.0:80", ""])
def test_the_ingress_listens_on_an_address(bind: str) -> None:
    """Promise: what Envoy would refuse later is named at once."""
    assert [problem.partition(":")[0] for problem in Ingress(bind=bind).problems()] == ["bind"]


OPEN = Ingress(bind="0.0.0.0", apex_domain="apps.example.com", api_hostname="deploy.example.com")


@pytest.mark.parametrize(
    ("config", "api_url", "elsewhere"),
    [
        (StandaloneConfig(), "https://sealift.localhost:7443", ""),
        (StandaloneConfig(tls=Tls(enabled=False)), "", ""),
        (StandaloneConfig(ingress=OPEN), "https://deploy.example.com:7443", ""),
        (
            StandaloneConfig(ingress=OPEN, tls=ACME),
            "https://deploy.example.com:7443",
            "https://deploy.example.com:7443",
        ),
        (
            StandaloneConfig(ingress=msgspec.structs.replace(OPEN, public_port=443), tls=ACME),
            "https://deploy.example.com",
            "https://deploy.example.com",
        ),
        (
            StandaloneConfig(ingress=OPEN, tls=ACME, external_url="https://files.example.com/"),
            "https://deploy.example.com:7443",
            "https://files.example.com",
        ),
        (
            StandaloneConfig(ingress=Ingress(api_hostname="deploy.example.com"), tls=ACME),
            "https://deploy.example.com:7443",
            "",
        ),
        (
            StandaloneConfig(ingress=msgspec.structs.replace(OPEN, public_scheme="https"), tls=Tls(enabled=False)),
            "https://deploy.example.com",
            "",
        ),
    ],
)
def test_urls_of_the_api(config: StandaloneConfig, api_url: str, elsewhere: str) -> None:
    """Clients are told the ingress' URL; builders get it where everybody trusts its certificate and can reach it."""
    assert config.problems() == []
    assert (config.api_url(7443 if config.tls.enabled else 0), config.url_elsewhere(7443)) == (api_url, elsewhere)


def test_builders_elsewhere_need_a_way_to_the_api() -> None:
    """An ingress that is open, with a certificate by ACME, is one; else external_url is asked for."""
    for tls, is_missing in ((Tls(), True), (ACME, False)):
        problems = StandaloneConfig(build=DepotSettings(), ingress=OPEN, tls=tls).problems()
        assert any(line.startswith("external_url: is required") for line in problems) is is_missing


def test_the_api_is_not_opened_without_tls() -> None:
    """A hostname for the api that could only refuse everybody is an error that says what to set."""
    config = StandaloneConfig(ingress=OPEN, tls=Tls(enabled=False))
    (problem,) = [line for line in config.problems() if line.startswith("ingress.api_hostname")]
    assert "tls.enabled" in problem


@pytest.mark.parametrize("seconds", [-1, 10**9])
def test_hsts_lasts_two_years_at_most(seconds: int) -> None:
    """What krane would refuse is refused before anything starts."""
    (line,) = Tls(hsts_max_age_s=seconds).problems()
    assert "hsts_max_age_s" in line
