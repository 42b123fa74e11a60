"""Promise: a domain of a user answers once DNS says so, goes where the app goes, and costs no connection."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pkg.domains.testing import DnsServer, dns_server
from pkg.testing.wait import WAIT_S
from tests.harness import apps
from tests.harness.background import in_background
from tests.harness.http import Answer, get
from tests.harness.stack import Stack, finish
from tests.harness.tls import ask
from tests.harness.wait import eventually

WWW = "www.shop.test"


@pytest.fixture(scope="module")
def zone() -> Iterator[DnsServer]:
    with in_background(dns_server()) as server:
        yield server


@pytest.fixture(scope="module")
def stack(engine_socket: str, zone: DnsServer) -> Iterator[Stack]:
    """One that asks our DNS server."""
    with Stack(engine_socket, toml=f'[domains]\nresolvers = ["127.0.0.1:{zone.port}"]\n') as one:
        yield one


def _at(stack: Stack, hostname: str = WWW) -> Answer:
    return get(f"http://{hostname}:{stack.ingress_port}")


def _set(zone: DnsServer, records: list[dict[str, Any]]) -> None:
    """Sets the records that a command printed."""
    for record in records:
        dot = "." if record["type"] == "CNAME" else ""
        zone.set(record["name"], record["type"], *(value + dot for value in record["wanted"]))


def _add(stack: Stack, zone: DnsServer, project: str, hostname: str = WWW, *more: str) -> None:
    """Adds a domain as a user does: the command prints the records, they are set, and it ends."""
    shown = stack.sealift("domains", "add", hostname, "--project", project, "--no-wait", "--json", *more)
    assert shown.code == 0, shown.err
    _set(zone, shown.last_json["records"])
    done = stack.sealift("domains", "verify", hostname)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].partition("://")[2].partition(":")[0] == hostname


@contextlib.contextmanager
def _kept_connection(stack: Stack, hostname: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.ingress_port, timeout=WAIT_S)
    connection.connect()
    own = connection.sock.getsockname()
    yield connection
    connection.request("GET", "/", headers={"Host": hostname})
    answer = connection.getresponse()
    answer.read()
    assert answer.headers.get("connection", "") != "close"
    assert connection.sock.getsockname() == own, "the connection of before"
    connection.close()


def test_a_domain_goes_where_the_app_goes(stack: Stack, zone: DnsServer, project: str, tmp_path: Path) -> None:
    """Added, deployed, rolled back, taken down, brought back, removed: it answers as the app's own hostname does."""
    directory = apps.app(tmp_path / "app", "one")
    assert stack.deploy(directory, project).code == 0
    own = f"{project}.sealift.localhost"
    waiting = stack.start_cli("domains", "add", WWW, "--project", project)
    records = eventually(
        lambda: (
            json.loads(shown.out)["records"]
            if (shown := stack.sealift("domains", "show", WWW, "--json")).code == 0
            else None
        ),
        what="the domain is recorded",
    )
    assert _at(stack).status == 404
    _set(zone, records)
    with _kept_connection(stack, own):
        added = finish(waiting)
        assert added.code == 0, added.err
        assert f"waiting: There is no TXT record _sealift-challenge.{WWW}." in added.err
        eventually(lambda: _at(stack).body == "one", what="the domain answers")
    apps.edit(directory, "two")
    second = stack.deploy(directory, project)
    assert second.code == 0
    assert WWW in second.last_json["urls"][0]
    assert (_at(stack).body, get(f"http://{own}:{stack.ingress_port}").body) == ("two", "two")
    assert stack.sealift("rollback", "--project", project).code == 0
    assert _at(stack).body == "one"
    assert stack.sealift("stop", "--live", "--project", project, "--yes").code == 0
    eventually(lambda: _at(stack).status == 503, what="it says that the app is stopped")
    assert stack.sealift("promote", "--project", project, "--yes").code == 0
    eventually(lambda: _at(stack).status == 200, what="it answers again")
    with _kept_connection(stack, own):
        removed = stack.sealift("domains", "rm", WWW, "--yes")
        assert removed.code == 0, removed.err
        eventually(lambda: _at(stack).status == 404, what="nothing answers there")


def test_it_answers_by_https(stack: Stack, zone: DnsServer, project: str, tmp_path: Path) -> None:
    """With a certificate of its own, which the local authority issues by itself; removed, the name is unknown."""
    assert stack.deploy(apps.app(tmp_path / "app", "hello"), project).code == 0
    _add(stack, zone, project, "secure.shop.test")

    def answers() -> bool:
        authority = stack.rows("SELECT certificate_pem FROM local_authority")
        if not authority:
            return False
        answer = ask(stack.endpoints["ingress_tls"], "secure.shop.test", authority=str(authority[0][0]))
        return answer == (200, "hello")

    eventually(answers, what="HTTPS answers with the domain's certificate")
    _add(stack, zone, project, "*.wild.shop.test")
    eventually(lambda: _at(stack, "any.wild.shop.test").body == "hello", what="the wildcard answers")
    for hostname in ("secure.shop.test", "*.wild.shop.test"):
        assert stack.sealift("domains", "rm", hostname, "--yes").code == 0
    eventually(lambda: not answers(), what="the removed name has no certificate")


def test_kill_of_the_api_loses_no_domain(stack: Stack, zone: DnsServer, project: str, tmp_path: Path) -> None:
    """kill -9 while it waits for DNS: the next one goes on by itself."""
    assert stack.deploy(apps.app(tmp_path / "app", "hello"), project).code == 0
    shown = stack.sealift("domains", "add", "killed.shop.test", "--project", project, "--no-wait", "--json")
    assert shown.code == 0, shown.err
    stack.kill("api")
    _set(zone, shown.last_json["records"])
    eventually(lambda: _at(stack, "killed.shop.test").body == "hello", what="the domain answers")
    assert stack.sealift("domains", "rm", "killed.shop.test", "--yes").code == 0
