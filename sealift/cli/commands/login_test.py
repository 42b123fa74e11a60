"""Logging in and out as a user does it, against servers with and without TLS."""

import json
from pathlib import Path

import pytest

from sealift.cli.conftest import Program
from sealift.client.testing import KEY, FakeServer
from sealift.client.testing_tls import Authority
from sealift.ctrl.v1 import key_pb2


@pytest.fixture
def user(sealift: Program) -> Program:
    """A user whose environment names neither server nor key."""
    del sealift.env["SEALIFT_URL"], sealift.env["SEALIFT_API_KEY"]
    return sealift


def stored(user: Program) -> Path:
    return Path(user.env["HOME"]) / ".config/sealift/servers.json"


async def test_login_is_tried_then_the_default(user: Program, server: FakeServer) -> None:
    """Promise: after a login, commands need neither URL nor key, and `whoami` says whose key they send."""
    done = await user("login", server.endpoint.url, stdin=f"{KEY}\n")
    assert done.code == 0, done.err
    assert f"logged in to {server.endpoint.url} as 'laptop' (deploy, does not expire)" in done.err
    assert stored(user).stat().st_mode & 0o777 == 0o600
    assert (await user("projects")).code == 0
    shown = await user("whoami")
    assert [line.split(None, 1) for line in shown.out.splitlines()] == [
        ["server", f"{server.endpoint.url} (9.9.9)"],
        ["workspace", "default"],
        ["key", "laptop (key_0)"],
        ["role", "deploy"],
        ["validity", "does not expire"],
    ]
    (values,) = (await user("whoami", "--json")).events
    assert (values["url"], values["role"], values["workspace"]) == (server.endpoint.url, "deploy", "default")
    for text in (done.out, done.err, shown.out, json.dumps(values)):
        assert KEY not in text


async def test_a_wrong_key_is_not_stored(user: Program, server: FakeServer) -> None:
    """Promise: a key that the server does not know, or that is none, changes nothing that was stored."""
    await user("login", server.endpoint.url, stdin=KEY)
    before = stored(user).read_bytes()
    for given in ("slk_wrong\n", "two words\n"):
        refused = await user("login", server.endpoint.url, stdin=given)
        assert refused.code == 3
        assert given.strip() not in refused.err + refused.out
    assert stored(user).read_bytes() == before


async def test_nothing_to_log_in_with(user: Program, server: FakeServer) -> None:
    """Promise: a missing key or URL is asked for in words, before any call."""
    no_key = await user("login", server.endpoint.url)
    assert (no_key.code, "no key was given" in no_key.err) == (3, True)
    no_url = await user("login", stdin=KEY)
    assert (no_url.code, "https://deploy.example.com" in no_url.err) == (2, True)
    no_scheme = await user("login", "deploy.example.com", stdin=KEY)
    assert (no_scheme.code, "did you mean https://deploy.example.com?" in no_scheme.err) == (2, True)
    assert not server.calls
    assert not stored(user).exists()


async def test_several_servers(user: Program, server: FakeServer) -> None:
    """Promise: servers stand side by side; an empty line keeps the stored key, so that `login` changes between them."""
    async with FakeServer() as other:
        await user("login", server.endpoint.url, stdin=KEY)
        await user("login", other.endpoint.url, stdin=KEY)
        assert (await user("servers")).out.split() == [other.endpoint.url, server.endpoint.url]
        assert (await user("whoami", "--json")).events[0]["url"] == other.endpoint.url
        assert (await user("--url", server.endpoint.url, "whoami", "--json")).events[0]["url"] == server.endpoint.url
        changed = await user("login", server.endpoint.url)
        assert changed.code == 0, changed.err
        assert (await user("whoami", "--json")).events[0]["url"] == server.endpoint.url
        gone = await user("logout")
        assert f"the default server is now {other.endpoint.url}" in gone.err
        assert (await user("whoami", "--json")).events[0]["url"] == other.endpoint.url
        assert KEY in stored(user).read_text()
        await user("logout", other.endpoint.url)
    assert KEY not in stored(user).read_text()
    again = await user("logout", other.endpoint.url)
    assert (again.code, "not logged in" in again.err) == (1, True)
    assert (await user("servers")).out == ""


async def test_a_key_of_krane_is_refused(user: Program, server: FakeServer) -> None:
    """Promise: the key of a region is not taken for a person's."""
    server.current_key = key_pb2.Key(key_id="key_1", name="krane", role=key_pb2.KEY_ROLE_CLUSTER, region="local")
    refused = await user("login", server.endpoint.url, stdin=KEY)
    assert (refused.code, "region 'local'" in refused.err) == (3, True)
    assert not stored(user).exists()


async def test_own_authority(user: Program, tmp_path: Path) -> None:
    """Promise: --ca-file is stored with the login, so that later commands need neither file nor variable."""
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.certificate)
    async with FakeServer(tls=authority.issue("sealift.localhost")) as server:
        refused = await user("login", server.endpoint.url, stdin=KEY)
        assert (refused.code, "[tls.unknown_authority]" in refused.err) == (7, True)
        assert not stored(user).exists()
        done = await user("login", server.endpoint.url, "--ca-file", str(tmp_path / "ca.pem"), stdin=KEY)
        assert done.code == 0, done.err
        (tmp_path / "ca.pem").unlink()
        assert (await user("whoami")).code == 0


async def test_prompt_without_echo(user: Program, server: FakeServer) -> None:
    """Promise: at a terminal the key is asked for and not echoed."""
    async with user.at_terminal("login", server.endpoint.url) as terminal:
        await terminal.until(b"Access key for")
        terminal.type(f"{KEY}\n".encode())
        assert await terminal.end() == 0
    assert "logged in to" in terminal.text
    assert KEY not in terminal.text
