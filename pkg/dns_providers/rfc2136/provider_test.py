"""Promise: what a DNS server refuses is said with the next step, and shows no key."""

import base64
from pathlib import Path

import msgspec
import pytest

from pkg.config import Secret
from pkg.dns_providers.factory import open_provider
from pkg.dns_providers.port import DnsFailure
from pkg.testing.acme import is_installed
from pkg.testing.acme.bind import bind
from pkg.testing.ports import free_port

pytestmark = pytest.mark.skipif(not is_installed(), reason="Debian's packages pebble and bind9 are not installed")
NAME = "_acme-challenge.a.example.test"


async def test_failures_in_words(tmp_path: Path) -> None:
    """A wrong key, another zone, nobody there."""
    wrong = base64.b64encode(bytes(32)).decode()
    async with bind(tmp_path, "example.test") as named:
        for changes, name, expected in (
            ({"key_secret": Secret(wrong)}, NAME, "refused"),
            ({"key_name": "other."}, NAME, "refused"),
            ({"zone": "example.org"}, "_acme-challenge.example.org", "NOTAUTH"),
            ({}, "example.org", "NOTZONE"),
            ({"server": f"127.0.0.1:{free_port()}"}, NAME, "does not answer"),
        ):
            provider = open_provider(msgspec.structs.replace(named.config, **changes))
            with pytest.raises(DnsFailure, match=expected) as caught:
                await provider.add_txt(name, "value")
            assert wrong not in str(caught.value)


async def test_records_stand_beside_each_other(tmp_path: Path) -> None:
    """One that is removed leaves the others; both changes may be repeated."""
    async with bind(tmp_path, "example.test") as named:
        provider = open_provider(named.config)
        for value in ("one", "two", "two"):
            await provider.add_txt(NAME, value)
        assert await named.txt(NAME) == {"one", "two"}
        for _ in range(2):
            await provider.remove_txt(NAME, "one")
        assert await named.txt(NAME) == {"two"}
