"""`sealift domains` as a process."""

import asyncio
import json
import signal

import grpc

from sealift.cli.conftest import BOUND_S, Eventually, Program
from sealift.client.testing import FakeServer


async def test_add_waits_and_tells_why(sealift: Program, server: FakeServer) -> None:
    """Promise: the records to set come first, then what is waited for, then the address that answers."""
    server.dns_reasons = ["There is no TXT record x.", "There is no TXT record x.", "www.example.com has no address."]
    added = await sealift("domains", "add", "www.example.com")
    assert added.code == 0
    lines = added.out.splitlines()
    assert lines[0].split() == ["TYPE", "NAME", "VALUE"]
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["TXT", "_sealift-challenge.www.example.com", "sealift-domain-1"],
        ["CNAME", "www.example.com", "hello.apps.example"],
    ]
    assert lines[-1] == "https://www.example.com"
    assert added.err.splitlines() == [
        "waiting: There is no TXT record x.",
        "waiting: www.example.com has no address.",
        "www.example.com is active and leads to dep_1",
    ]


async def test_it_waits_for_the_certificate(sealift: Program, server: FakeServer) -> None:
    """Promise: the command ends when HTTPS answers, and tells the authority's own reason until then."""
    server.certificate_reasons = ["The CA found no answer.", "The CA found no answer."]
    added = await sealift("domains", "add", "www.example.com")
    assert (added.code, added.out) == (0, "https://www.example.com\n")
    assert added.err.splitlines() == [
        "waiting: The CA found no answer.",
        "www.example.com is active and leads to dep_1",
    ]


async def test_add_without_waiting(sealift: Program, server: FakeServer) -> None:
    """Promise: --no-wait returns after the first check, with its reason."""
    server.dns_reasons = ["There is no TXT record x."]
    added = await sealift("domains", "add", "b\u00fccher.example", "--env", "preview", "--no-wait", "--json")
    assert added.code == 0
    (domain,) = added.events
    assert (domain["status"], domain["hostname"], domain["unicode_hostname"], domain["environment_slug"]) == (
        "pending", "xn--bcher-kva.example", "b\u00fccher.example", "preview",
    )  # fmt: skip
    assert added.err.strip() == "There is no TXT record x."


async def test_what_was_set_before_needs_no_records(sealift: Program) -> None:
    """Promise: a domain that DNS proves at once prints its URL, and no records."""
    added = await sealift("domains", "add", "www.example.com")
    assert (added.code, added.out) == (0, "https://www.example.com\n")


async def test_an_interrupt_ends_the_waiting_only(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: Ctrl-C says that the server goes on, and how to look."""
    server.dns_reasons = ["There is no TXT record x."] * 1000
    process = await sealift.start("domains", "add", "www.example.com")
    await eventually(lambda: server.calls["GetDomain"] >= 2)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), BOUND_S)
    assert process.returncode == 130
    assert "interrupted; the server goes on asking DNS, see: sealift domains show www.example.com" in err.decode()
    assert list(server.domains) == ["www.example.com"]


async def test_waiting_has_an_end(sealift: Program, server: FakeServer) -> None:
    """Promise: the exit code says that it is not active in time, the reason what is missing."""
    server.dns_reasons = ["There is no TXT record x."] * 1000
    added = await sealift("domains", "add", "www.example.com", "--wait-timeout", "1", "--json")
    assert added.code == 5
    assert added.events[-1]["code"] == "deadline_exceeded"
    assert "not active after 1 s; the server goes on asking DNS: There is no TXT record x." in added.err


async def test_list_show_verify_remove(sealift: Program, server: FakeServer) -> None:
    """Promise: all domains are listed with what is wrong; one is removed only when somebody says so."""
    server.dns_reasons = ["There is no TXT record x."]
    await sealift("domains", "add", "a.example.com", "--no-wait")
    await sealift("domains", "add", "b.example.com")
    listed = await sealift("domains")
    assert [line.split()[:3] for line in listed.out.splitlines()] == [
        ["DOMAIN", "ENVIRONMENT", "STATUS"],
        ["a.example.com", "production", "pending"],
        ["b.example.com", "production", "active"],
    ]
    assert "There is no TXT record x." in listed.out
    assert [one["hostname"] for one in (await sealift("domains", "ls", "--json")).events] == [
        "a.example.com",
        "b.example.com",
    ]
    assert (await sealift("domains", "ls", "--env", "preview")).out == ""
    shown = await sealift("domains", "show", "b.example.com")
    assert "status       active\n" in shown.out
    assert "CNAME  b.example.com" in shown.out
    verified = await sealift("domains", "verify", "a.example.com")
    assert (verified.code, verified.out) == (0, "https://a.example.com\n")
    asked = await sealift("domains", "rm", "a.example.com")
    assert asked.code == 2
    assert "would remove a.example.com from production, where dep_1 answers" in asked.err
    removed = await sealift("domains", "rm", "a.example.com", "--yes", "--json")
    assert json.loads(removed.out)["hostname"] == "a.example.com"
    assert list(server.domains) == ["b.example.com"]
    missing = await sealift("domains", "show", "a.example.com")
    assert (missing.code, "domain.not_found" in missing.err) == (1, True)


async def test_refusals_and_faults(sealift: Program, server: FakeServer) -> None:
    """Promise: a refusal names the field; a server that is away for a moment is asked again."""
    wrong = await sealift("domains", "add", "https://www.example.com/", "--json")
    assert (wrong.code, wrong.events[-1]["field"]) == (2, "hostname")
    server.faults["AddDomain"] = [grpc.StatusCode.UNAVAILABLE]
    assert (await sealift("domains", "add", "www.example.com")).code == 0
    assert server.calls["AddDomain"] == 3
    empty = await sealift("domains", "--project", "nothing")
    assert empty.code == 1
