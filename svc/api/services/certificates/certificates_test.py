"""What AcmeService promises, over real calls: the truth in words, and no more orders than an authority bears."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from grpc import aio
from sqlalchemy import Connection, insert

from pkg.certificates import orders, queries
from pkg.certificates.config import Tls
from pkg.certificates.model import ChallengeKind, Issuer, SealedKey
from pkg.clock import now_ms
from pkg.regions import queries as regions
from pkg.testing.wait import WAIT_S
from pkg.workspaces.tables import workspaces
from sealift.ctrl.v1 import acme_pb2 as pb
from svc.api.testing import RecordingRestate, RunningApi, config_in, refused, running_api

KEY = SealedKey(b"data key", b"sealed key")
DAY_MS = 86_400_000


async def add(api: RunningApi, *names: str, workspace_id: str | None = None, issuer: Issuer = Issuer.ACME) -> None:
    """A name that is to have a certificate."""
    challenge = ChallengeKind.HTTP_01 if issuer is Issuer.ACME else ChallengeKind.NONE
    values: dict[str, Any] = {"name": names[0], "names_json": list(names), "workspace_id": workspace_id}
    await api.db.write(queries.put_managed, values | {"issuer": issuer, "challenge": challenge}, now_ms())


async def issue(api: RunningApi, name: str, not_after: int) -> None:
    """A certificate of it."""

    def write(connection: Connection) -> None:
        queries.add_certificate(
            connection, certificate_id=f"cert_{name}", name=name, names=[name], issuer=Issuer.ACME, chain_pem="chain",
            key=KEY, not_before=1, not_after=not_after, now=now_ms(),
        )  # fmt: skip
        queries.note_issued(connection, name, f"cert_{name}", due_at=not_after, renewal_info_at=None, now=now_ms())

    await api.db.write(write)


async def fail(api: RunningApi, name: str, code: str, *, retry_after_ms: int = 0, made_ago_ms: int = 0) -> None:
    """An order for it that failed."""
    order_id, now = f"ord_{name}_{now_ms()}", now_ms()

    def write(connection: Connection) -> None:
        orders.add(
            connection, order_id=order_id, name=name, names=[name], challenge=ChallengeKind.HTTP_01, key=KEY,
            traceparent="", now=now - made_ago_ms,
        )  # fmt: skip
        orders.fail(
            connection, order_id, code=code, message=f"ca.example says: {code}", jitter=0, now=now,
            retry_after_ms=retry_after_ms,
        )  # fmt: skip

    await api.db.write(write)


async def status(api: RunningApi, name: str) -> pb.GetCertificateStatusResponse:
    found: pb.GetCertificateStatusResponse = await api.admin.acme.GetCertificateStatus(
        pb.GetCertificateStatusRequest(name=name)
    )
    return found


async def test_each_state_in_words(api: RunningApi) -> None:
    """Missing with the authority's reason, valid, expired but still served; and who does not serve it yet."""
    for name in ("a.example", "b.example", "c.example"):
        await add(api, name)
    await fail(api, "a.example", "certificate.validation_failed")
    await issue(api, "b.example", now_ms() + 60 * DAY_MS)
    await issue(api, "c.example", now_ms() - DAY_MS)
    await api.db.write(
        lambda connection: regions.register(
            connection, name="local", krane_instance_id="i", krane_version="1", runtime="d", engine="e", now=now_ms()
        )
    )
    found = (await api.admin.acme.ListCertificates(pb.ListCertificatesRequest())).certificates
    assert [(one.name, one.state) for one in found] == [
        ("a.example", pb.CERTIFICATE_STATE_MISSING),
        ("b.example", pb.CERTIFICATE_STATE_VALID),
        ("c.example", pb.CERTIFICATE_STATE_EXPIRED),
    ]
    assert found[0].error_message == "ca.example says: certificate.validation_failed"
    assert found[0].next_order_at > now_ms()
    assert found[1].pending_regions == ["local"]  # which is older than certificates, too
    [order] = (await status(api, "a.example")).orders
    assert (order.status, order.error_code) == ("failed", "certificate.validation_failed")


async def test_pages_and_notices(api: RunningApi) -> None:
    """The list goes on where a page ended, and says which names have none."""
    for number in range(3):
        await add(api, f"{number}.example")
    first = await api.admin.acme.ListCertificates(pb.ListCertificatesRequest(page_size=2))
    second = await api.admin.acme.ListCertificates(
        pb.ListCertificatesRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [one.name for page in (first, second) for one in page.certificates] == [
        "0.example", "1.example", "2.example"
    ]  # fmt: skip
    assert second.next_page_token == ""
    assert "not enabled" in first.notices[0]


async def test_a_hostname_finds_what_covers_it(api: RunningApi) -> None:
    """An exact name before a wildcard; a wildcard covers one label."""
    await add(api, "apps.example", "*.apps.example")
    await add(api, "a.apps.example")
    assert (await status(api, "B.apps.example.")).certificate.name == "apps.example"
    assert (await status(api, "a.apps.example")).certificate.name == "a.apps.example"
    with pytest.raises(aio.AioRpcError) as caught:
        await status(api, "a.b.apps.example")
    assert refused(caught.value)[:3] == (grpc.StatusCode.NOT_FOUND, "certificate.not_found", "name")


async def test_no_workspace_sees_another(api: RunningApi) -> None:
    """The installation's own are for everybody."""
    await api.db.write(
        lambda connection: connection.execute(
            insert(workspaces).values(id="ws_other", slug="other", build_slots=1, created_at=1)
        )
    )
    await add(api, "theirs.example", workspace_id="ws_other")
    await add(api, "everybodys.example")
    listed = await api.admin.acme.ListCertificates(pb.ListCertificatesRequest())
    assert [one.name for one in listed.certificates] == ["everybodys.example"]
    for call, request in (
        (api.admin.acme.GetCertificateStatus, pb.GetCertificateStatusRequest(name="theirs.example")),
        (api.admin.acme.RetryCertificate, pb.RetryCertificateRequest(name="theirs.example")),
    ):
        with pytest.raises(aio.AioRpcError) as caught:
            await call(request)
        assert refused(caught.value)[:2] == (grpc.StatusCode.NOT_FOUND, "certificate.not_found")


async def test_a_retry_makes_it_due(api: RunningApi) -> None:
    """After a failure, or in the place of a certificate that was revoked; one under way stays the one."""
    await add(api, "a.example")
    await fail(api, "a.example", "certificate.validation_failed", made_ago_ms=120_000)
    retried = (await api.admin.acme.RetryCertificate(pb.RetryCertificateRequest(name="a.example"))).certificate
    assert retried.next_order_at <= now_ms()
    assert retried.error_message  # until the next attempt is over
    await issue(api, "a.example", now_ms() + DAY_MS)
    retried = (await api.admin.acme.RetryCertificate(pb.RetryCertificateRequest(name="a.example"))).certificate
    assert retried.next_order_at <= now_ms()


async def test_a_retry_does_not_use_up_what_an_authority_allows(api: RunningApi) -> None:
    """Not within a minute, and not before the time that the authority named."""
    await add(api, "a.example")
    await fail(api, "a.example", "certificate.validation_failed")
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.acme.RetryCertificate(pb.RetryCertificateRequest(name="a.example"))
    assert refused(caught.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "certificate.too_soon")
    await add(api, "b.example")
    await fail(api, "b.example", "certificate.rate_limited", retry_after_ms=3_600_000, made_ago_ms=120_000)
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.acme.RetryCertificate(pb.RetryCertificateRequest(name="b.example"))
    assert refused(caught.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "certificate.rate_limited")


async def test_where_the_local_authority_signs_nothing_there_is_none(api: RunningApi) -> None:
    """Nobody is asked to trust what is not used."""
    answer = await api.admin.acme.GetCertificateAuthority(pb.GetCertificateAuthorityRequest())
    assert answer == pb.GetCertificateAuthorityResponse()


async def test_a_default_installation_shows_its_authority(tmp_path: Path, restate: RecordingRestate) -> None:
    """The one that signed the certificate of the apex, which the sweep makes by itself; its key is not shown."""
    config = msgspec.structs.replace(config_in(tmp_path, restate.url), tls=Tls())
    async with running_api(config) as api:

        async def is_valid() -> bool:
            listed = await api.admin.acme.ListCertificates(pb.ListCertificatesRequest())
            return [one.state for one in listed.certificates] == [pb.CERTIFICATE_STATE_VALID]

        async with asyncio.timeout(WAIT_S):
            while not await is_valid():
                await api.db.commits.wait(api.db.commits.position, 0.5)
        shown = (await status(api, "hello.sealift.localhost")).certificate
        assert list(shown.names) == ["sealift.localhost", "*.sealift.localhost"]
        [certificate] = await api.db.read(queries.every_certificate)
        answer = await api.admin.acme.GetCertificateAuthority(pb.GetCertificateAuthorityRequest())
        assert certificate.chain_pem.endswith(answer.certificate_pem)
        authority = x509.load_pem_x509_certificate(answer.certificate_pem.encode())
        assert authority.fingerprint(hashes.SHA256()).hex() == answer.fingerprint_sha256
        assert "PRIVATE" not in str(answer)
        with pytest.raises(aio.AioRpcError) as caught:
            await api.admin.acme.RetryCertificate(pb.RetryCertificateRequest(name="sealift.localhost"))
        assert refused(caught.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "certificate.too_soon")
