"""Promise: a name has one order at a time, its certificate and answers reach the regions, and keys stay apart."""

from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from pkg.certificates import orders, queries
from pkg.certificates.model import Authority, ChallengeKind, ChallengeRow, Issuer, OrderStatus, SealedKey
from pkg.db import Database
from pkg.testing.sample_project import add_sample_project

NAME = "www.shop.example"
KEY = SealedKey(b"d", b"k")
MANAGED = {
    "name": NAME,
    "names_json": [NAME],
    "workspace_id": None,
    "issuer": Issuer.ACME,
    "challenge": ChallengeKind.HTTP_01,
}


def add_order(connection: Connection, order_id: str) -> None:
    orders.add(
        connection,
        order_id=order_id,
        name=NAME,
        names=[NAME],
        challenge=ChallengeKind.HTTP_01,
        key=KEY,
        traceparent="",
        now=1,
    )


def add_certificate(connection: Connection, certificate_id: str) -> int:
    return queries.add_certificate(
        connection,
        certificate_id=certificate_id,
        name=NAME,
        names=[NAME],
        issuer=Issuer.ACME,
        chain_pem="pem",
        key=KEY,
        not_before=1,
        not_after=100,
        now=1,
    )


async def test_one_order_of_a_name_at_a_time(db: Database) -> None:
    """A second one is refused by the database; one that failed says when the name is tried again."""

    def first(c: Connection) -> None:
        add_sample_project(c)
        queries.put_managed(c, MANAGED, 5)
        add_order(c, "ord_1")

    await db.write(first)
    with pytest.raises(IntegrityError):
        await db.write(add_order, "ord_2")

    def rest(c: Connection) -> None:
        assert (orders.begin(c, "ord_1"), orders.begin(c, "ord_1")) == (True, False)
        failed: dict[str, Any] = {"code": "certificate.refused", "message": "x" * 5000, "jitter": 0.0, "now": 50}
        assert (orders.fail(c, "ord_1", **failed), orders.fail(c, "ord_1", **failed)) == (True, False)
        found = queries.managed_named(c, NAME)
        assert found is not None
        assert (found.failures, found.failed_at, len(found.error_message or "")) == (1, 50, queries.MAX_MESSAGE_CHARS)
        assert found.due_at > 50
        assert queries.next_due_at(c, 50) == found.due_at
        add_order(c, "ord_2")
        assert [one.id for one in orders.active(c)] == ["ord_2"]
        assert orders.finish(c, "ord_2", "crt_1", 60)
        assert not orders.cancel(c, "ord_2", 61)
        assert [one.status for one in orders.latest_of(c, NAME, 9)] == [OrderStatus.DONE, OrderStatus.FAILED]
        orders.forget_old(c, 50 + orders.KEEP_MS + 1)
        assert [one.id for one in orders.latest_of(c, NAME, 9)] == ["ord_2"]

    await db.write(rest)


async def test_each_certificate_and_answer_is_a_change(db: Database) -> None:
    """Regions learn what appears and what goes; an answer in the DNS is none of theirs."""

    def run(c: Connection) -> None:
        add_sample_project(c)
        version = add_certificate(c, "crt_1")
        assert version > 0
        assert add_certificate(c, "crt_2") > version
        assert [one.chain_pem for one in queries.every_certificate(c, with_chain=False)] == ["", ""]
        assert queries.certificate_key(c, "crt_1") == KEY
        assert "k" not in repr(KEY)
        for _ in range(2):
            queries.remove_certificates(c, ["crt_1"], 2)
        assert [one.id for one in queries.every_certificate(c)] == ["crt_2"]
        with pytest.raises(LookupError):
            queries.certificate_key(c, "crt_1")
        add_order(c, "ord_1")
        answers = [
            ChallengeRow("http", "ord_1", ChallengeKind.HTTP_01, NAME, "v", 3),
            ChallengeRow("dns", "ord_1", ChallengeKind.DNS_01, NAME, "v", 3),
        ]
        assert [queries.put_challenge(c, one) > 0 for one in answers] == [True, False]
        assert [one.token for one in queries.http_challenges(c)] == ["http"]
        assert queries.http_challenge(c, "dns") is None
        queries.remove_http_challenges(c, "ord_1", 4)
        assert [one.token for one in queries.challenges_of(c, "ord_1")] == ["dns"]
        assert orders.ended_with_answers(c) == []
        assert orders.cancel(c, "ord_1", 5)
        assert orders.ended_with_answers(c) == ["ord_1"]

    await db.write(run)


async def test_what_is_managed_keeps_its_columns(db: Database) -> None:
    """Wanting it again makes it due and keeps what is served; a success forgets the failures."""

    def run(c: Connection) -> None:
        add_sample_project(c)
        queries.put_managed(c, MANAGED, 5)
        add_certificate(c, "crt_1")
        assert queries.note_issued(c, NAME, "crt_1", due_at=90, renewal_info_at=40, now=6)
        assert [one.name for one in queries.asking_for_renewal_information(c, 40, 9)] == [NAME]
        queries.put_managed(c, MANAGED, 7)
        (found,) = queries.managed(c)
        assert (found.certificate_id, found.due_at, found.created_at) == ("crt_1", 7, 5)
        queries.remove_managed(c, [NAME])
        assert not queries.change_managed(c, NAME, 8, due_at=9)
        assert queries.authority(c) is None
        for at in (1, 2):
            queries.put_authority(c, Authority("pem", 9, at), KEY)
        made = queries.authority(c)
        assert made is not None
        assert (made.created_at, queries.authority_key(c)) == (2, KEY)

    await db.write(run)
