"""The section [depot] keeps the token secret, and refuses what can't work at once."""

from pathlib import Path

import pytest

from pkg.config import ConfigError, Secret, load
from pkg.depot.config import DepotConfig


def test_a_token_is_enough(tmp_path: Path) -> None:
    """Promise: everything else has the documented default, and the token is in no text of the section."""
    file = tmp_path / "depot.toml"
    file.write_text('access_token = "${DEPOT_TOKEN}"')
    config = load(file, DepotConfig, {"DEPOT_TOKEN": "dop_org_1"})
    assert (config.address, config.uses_tls, config.access_token) == ("api.depot.dev:443", True, Secret("dop_org_1"))
    assert (config.project_region, config.cache_gb, config.cache_days) == ("us-east-1", 50, 14)
    assert "dop_org_1" not in repr(config)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Promise: each problem names its key and what is allowed."""
    file = tmp_path / "depot.toml"
    file.write_text('api_url = "http://depot.example.com"\naccess_token = ""\ncache_gb = 0\ncache_days = 1000\n')
    with pytest.raises(ConfigError) as refused:
        load(file, DepotConfig)
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        "api_url", "access_token", "cache_gb", "cache_days",
    ]  # fmt: skip
    file.write_text('access_token = "x"\nproject_region = "mars"')
    with pytest.raises(ConfigError, match=r"project_region: .*'mars'"):
        load(file, DepotConfig)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://api.depot.dev", "api.depot.dev:443"),
        ("https://depot.example.com:8443/", "depot.example.com:8443"),
        ("http://127.0.0.1:7999", "127.0.0.1:7999"),
        ("http://[::1]:7999", "[::1]:7999"),
        ("http://10.0.0.5:7999", ""),
        ("http://127.0.0.1", ""),
        ("https://api.depot.dev/v1", ""),
        ("https://user@api.depot.dev", ""),
        ("https://host:port", ""),
        ("https://", ""),
        ("api.depot.dev", ""),
        ("", ""),
    ],
)
def test_the_token_is_sent_over_tls_alone(url: str, address: str) -> None:
    """Promise: another URL than https, or http on loopback, is refused with what was written."""
    config = DepotConfig(api_url=url, access_token=Secret("x"))
    if address:
        assert (config.problems(), config.address) == ([], address)
    else:
        assert config.problems() == [f"api_url: expected https://host[:port], or http on loopback, got {url!r}"]
