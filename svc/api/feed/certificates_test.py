"""Promise: regions get certificates with their keys, and answers to challenges, and are told when they are gone."""

from pathlib import Path

import msgspec
from sqlalchemy import Connection

from pkg.certificates import queries
from pkg.certificates.config import Tls
from pkg.certificates.model import ChallengeKind, ChallengeRow, Issuer, SealedKey
from pkg.clock import now_ms
from pkg.config.sections import Ingress
from pkg.db import Database
from pkg.feed import queries as feed
from pkg.secrets import AssociatedData, Vault
from svc.api.bootstrap import prepare
from svc.api.feed.producer import Rendering
from svc.api.feed.producers import Certificates, Challenges
from svc.api.testing import RecordingRestate, RunningApi, config_in

VAULT = Vault(bytes(range(32)))
ID = "cert_00000000000000000000000000"
NAMES = ["example.com", "*.example.com"]


async def test_a_certificate_comes_with_its_key_and_goes(api: RunningApi) -> None:
    """The key is sealed in the database and in clear in the message only; a deleted one is a removal."""

    def run(connection: Connection) -> None:
        data_key = VAULT.new_data_key()
        key = SealedKey(data_key, VAULT.seal(data_key, b"the key", AssociatedData.certificate_key(ID)))
        version = queries.add_certificate(
            connection, certificate_id=ID, name=NAMES[0], names=NAMES, issuer=Issuer.LOCAL, chain_pem="chain",
            key=key, not_before=1, not_after=2, now=5,
        )  # fmt: skip
        producer = Certificates(Rendering(VAULT, Ingress()))
        sent = producer.current(connection, "local", ID).certificate
        assert (list(sent.names), sent.chain_pem, sent.private_key_pem) == (NAMES, b"chain", b"the key")
        assert (sent.not_before, sent.not_after) == (1, 2)
        assert [m.certificate for m in producer.snapshot(connection, "local")] == [sent]
        found = queries.certificate(connection, ID)
        assert found is not None
        assert found.version == version
        queries.remove_certificates(connection, [ID], 6)
        queries.remove_certificates(connection, [ID], 7)
        assert producer.current(connection, "local", ID).certificate_removed.certificate_id == ID
        assert list(producer.snapshot(connection, "local")) == []

    await api.db.write(run)


async def test_none_is_sent_while_tls_is_off(restate: RecordingRestate, tmp_path: Path) -> None:
    """Each start of the api with another setting is one change of each certificate, whose row stays."""
    config = config_in(tmp_path, restate.url)
    found: list[tuple[bool, int]] = []

    def add(connection: Connection) -> None:
        data_key = VAULT.new_data_key()
        key = SealedKey(data_key, VAULT.seal(data_key, b"the key", AssociatedData.certificate_key(ID)))
        queries.add_certificate(
            connection, certificate_id=ID, name=NAMES[0], names=NAMES, issuer=Issuer.LOCAL, chain_pem="chain",
            key=key, not_before=1, not_after=2, now=5,
        )  # fmt: skip

    def look(connection: Connection) -> None:
        producer = Certificates(Rendering(VAULT, Ingress()))
        sent = producer.current(connection, "local", ID)
        snapshot = [message.certificate.certificate_id for message in producer.snapshot(connection, "local")]
        assert snapshot == ([ID] if sent.HasField("certificate") else [])
        assert queries.certificate(connection, ID) is not None
        changes = feed.after(connection, "local", 0)
        found.append((bool(snapshot), sum(change.key == ID for change in changes)))

    for is_enabled in (True, False, False, True, True):
        db = Database.open(config.database.url.reveal())
        await prepare(msgspec.structs.replace(config, tls=Tls(enabled=is_enabled)), db, now_ms)
        if not found:
            await db.write(add)
        await db.read(look)
        await db.close()
    assert [sent for sent, _ in found] == [True, False, False, True, True]
    assert [count for _, count in found] == [1, 2, 2, 3, 3]


async def test_only_answers_by_http_go_to_regions(api: RunningApi) -> None:
    """What is answered in the DNS is no change of the feed."""

    def run(connection: Connection) -> None:
        http = ChallengeRow("t1", "ord_1", ChallengeKind.HTTP_01, "a.example.com", "t1.thumb", 5)
        dns = ChallengeRow("t2", "ord_1", ChallengeKind.DNS_01, "example.com", "digest", 5)
        first = queries.put_challenge(connection, http)
        assert first > 0
        assert queries.put_challenge(connection, dns) == 0
        producer = Challenges(Rendering(VAULT, Ingress()))
        sent = producer.current(connection, "local", "t1").challenge
        assert (sent.token, sent.hostname, sent.key_authorization) == ("t1", "a.example.com", "t1.thumb")
        assert [m.challenge for m in producer.snapshot(connection, "local")] == [sent]
        assert producer.current(connection, "local", "t2").challenge_removed.token == "t2"
        assert [row.token for row in queries.challenges_of(connection, "ord_1")] == ["t1", "t2"]
        queries.remove_challenges(connection, ["t1", "t2"], 6)
        assert producer.current(connection, "local", "t1").challenge_removed.token == "t1"

    await api.db.write(run)
