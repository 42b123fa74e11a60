"""`sealift open` as a process; the browser is a script that writes down what it is called with."""

import json
from pathlib import Path

import pytest

from sealift.cli.commands.open import url_to_open
from sealift.cli.conftest import Program
from sealift.client.errors import NotFoundError, ServerError
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import deployment_pb2

URL = "http://hello.sealift.localhost:7480"


@pytest.fixture
def opened(sealift: Program, tmp_path: Path) -> Path:
    """Where the browser writes its arguments."""
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" >> {seen}\n')
    browser.chmod(0o755)
    sealift.env["BROWSER"] = str(browser)
    return seen


async def test_a_browser_is_opened_at_a_terminal_only(sealift: Program, opened: Path) -> None:
    """Promise: the URL is on stdout always; a browser gets it where a person is, and not with --print or in CI."""
    await sealift("deploy")
    done = await sealift("open")
    assert (done.code, done.out, done.err) == (0, f"{URL}\n", "")
    async with sealift.at_terminal("open", "--print") as terminal:
        assert await terminal.end() == 0
    sealift.env["CI"] = "1"
    async with sealift.at_terminal("open") as terminal:
        assert await terminal.end() == 0
    assert not opened.exists()
    del sealift.env["CI"]
    async with sealift.at_terminal("open") as terminal:
        assert await terminal.end() == 0
    assert terminal.text == f"{URL}\r\n"
    assert opened.read_text() == f"{URL}\n"


async def test_which_url(sealift: Program, server: FakeServer, opened: Path) -> None:
    """Promise: that of the live deployment, or of the one that is named; with --json the facts, and no browser."""
    await sealift("deploy")
    await sealift("deploy")
    server.deployments["dep_1"].deployment.urls[:] = ["http://hello-dep-1.sealift.localhost:7480"]
    assert (await sealift("open", "dep_1")).out == "http://hello-dep-1.sealift.localhost:7480\n"
    async with sealift.at_terminal("open", "--json") as terminal:
        assert await terminal.end() == 0
    assert json.loads(terminal.text) == {
        "url": URL,
        "deployment_id": "dep_2",
        "environment_slug": "production",
        "is_live": True,
    }
    assert not opened.exists()


async def test_nothing_to_open(sealift: Program, server: FakeServer) -> None:
    """Promise: what is missing is said with the command that helps; stdout is empty."""
    done = await sealift("open")
    assert (done.code, done.out) == (1, "")
    assert "nothing is live in hello · production; to deploy: sealift deploy" in done.err
    server.environments["production"].is_stopped = True
    assert "hello · production is stopped; to start it again: sealift promote" in (await sealift("open")).err
    await sealift("deploy")
    del server.deployments["dep_1"].deployment.urls[:]
    assert "no hostname leads to dep_1 (see: sealift status dep_1)" in (await sealift("open", "dep_1")).err


def test_a_url_that_is_none_of_the_web() -> None:
    """Promise: no program is started with what a server makes up; a wildcard is no address."""
    found = deployment_pb2.Deployment(urls=["https://*.example.com", "https://a.example.com"])
    assert url_to_open(found) == "https://a.example.com"
    for bad in ("file:///etc/passwd", "--incognito", "https://", "http://a b", "http://a\x1b[0m", "javascript:1"):
        with pytest.raises(ServerError, match="not one of the web"):
            url_to_open(deployment_pb2.Deployment(urls=[bad]))
    with pytest.raises(NotFoundError):
        url_to_open(deployment_pb2.Deployment(urls=["https://*.example.com"]))
