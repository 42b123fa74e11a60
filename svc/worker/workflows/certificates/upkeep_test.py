"""Promise: the authority's word decides when to renew, at once after a revocation; no record is left in a zone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from pkg.acme.server import RenewalWindow
from pkg.certificates import local, orders, queries
from pkg.certificates.config import Tls
from pkg.certificates.model import ChallengeKind, ChallengeRow, Issuer, ManagedCertificate, SealedKey
from pkg.certificates.schedule import DAY_MS, HOUR_MS
from pkg.clock import now_ms
from pkg.ids import new_id
from pkg.restate.testing import RestateServer
from pkg.testing.acme import is_installed
from pkg.testing.acme.bind import bind
from pkg.testing.ports import free_port
from svc.worker.deps import WorkerDeps
from svc.worker.testing.harness import worker_harness
from svc.worker.workflows.certificates.upkeep import ask_renewal_information, forget_answers, renewal_due

NAME = "a.example.test"


@dataclass
class Authority:
    """Has renewal information about every certificate; of Pebble, only newer versions have."""

    directory: str = ""
    window: tuple[int, int] | None = None
    asked: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        """The directory, and renewal information (RFC 9773)."""
        base = f"http://{request.host}"
        if request.path == "/dir":
            names = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")
            return web.json_response({name: f"{base}/{name}" for name in names} | {"renewalInfo": f"{base}/ari"})
        self.asked += 1
        if self.window is None:
            return web.Response(status=503)
        start, end = (datetime.fromtimestamp(at / 1000, UTC).isoformat() for at in self.window)
        body = {"suggestedWindow": {"start": start, "end": end}}
        return web.json_response(body, headers={"Retry-After": "21600"})


@asynccontextmanager
async def authority() -> AsyncIterator[Authority]:
    found = Authority()
    app = web.Application()
    app.router.add_get("/{path:.*}", found.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.directory = f"http://127.0.0.1:{runner.addresses[0][1]}/dir"
    try:
        yield found
    finally:
        await runner.cleanup()


async def issue(deps: WorkerDeps, due_at: int, certificate_id: str = "", order_id: str = "") -> None:
    """A certificate that is served, whose authority is to be asked; of an order, if one is named."""
    certificate_id = certificate_id or new_id("cert")
    now = now_ms()
    signer = local.make_authority("inst_06b7k3000000000000000000", now)
    made = local.issue(signer.chain_pem, signer.key_pem, (NAME,), now)

    def write(connection: Connection) -> None:
        values: dict[str, Any] = {"name": NAME, "names_json": [NAME], "workspace_id": None, "issuer": Issuer.ACME}
        queries.put_managed(connection, values | {"challenge": ChallengeKind.HTTP_01}, now)
        queries.add_certificate(
            connection, certificate_id=certificate_id, name=NAME, names=[NAME], issuer=Issuer.ACME,
            chain_pem=made.chain_pem, key=SealedKey(b"k", b"s"), not_before=made.not_before, not_after=made.not_after,
            now=now,
        )  # fmt: skip
        if order_id:
            orders.add(
                connection, order_id=order_id, name=NAME, names=[NAME], challenge=ChallengeKind.HTTP_01,
                key=SealedKey(b"k", b"s"), traceparent="", now=now,
            )  # fmt: skip
            orders.finish(connection, order_id, certificate_id, now)
        queries.note_issued(connection, NAME, certificate_id, due_at=due_at, renewal_info_at=now - 1, now=now)

    await deps.db.write(write)


async def managed(deps: WorkerDeps) -> ManagedCertificate:
    found = await deps.db.read(queries.managed_named, NAME)
    assert found is not None
    return found


async def test_the_authority_says_when(restate_server: RestateServer, tmp_path: Path) -> None:
    """A window in the past, as after a revocation, makes the renewal due at once; it is asked again in six hours."""
    async with authority() as found:
        tls = Tls(email="a@example.test", directory=found.directory)
        async with worker_harness(restate_server, tmp_path, tls=tls, with_worker=False) as harness:
            later = now_ms() + 60 * DAY_MS
            await issue(harness.deps, later)
            await ask_renewal_information(harness.deps)  # it does not answer
            row = await managed(harness.deps)
            assert (row.due_at, found.asked) == (later, 1)
            assert row.renewal_info_at is not None
            assert row.renewal_info_at > now_ms() + HOUR_MS
            await ask_renewal_information(harness.deps)
            assert found.asked == 1
            await harness.deps.db.write(
                lambda connection: queries.change_managed(connection, NAME, now_ms(), renewal_info_at=now_ms())
            )
            found.window = (now_ms() - 2 * DAY_MS, now_ms() - DAY_MS)
            await ask_renewal_information(harness.deps)
            row = await managed(harness.deps)
            assert row.due_at < now_ms()
            assert abs((row.renewal_info_at or 0) - now_ms() - 6 * HOUR_MS) < HOUR_MS


@given(
    st.integers(min_value=0, max_value=10**13),
    st.integers(min_value=0, max_value=10**13),
    st.integers(min_value=0, max_value=10**9),
    st.none() | st.integers(min_value=0, max_value=10**13),
    st.integers(min_value=0, max_value=10**13),
    st.integers(min_value=0, max_value=10**13),
)
def test_a_time_in_the_window(
    due_at: int, start: int, length: int, failed_at: int | None, not_after: int, earliest: int
) -> None:
    """The time of before if it suits, so that it does not move each time; never earlier than the next attempt."""
    row = ManagedCertificate(
        NAME, [NAME], None, Issuer.ACME, ChallengeKind.HTTP_01, "cert_1", due_at, 0, None, None, failed_at, None, 0, 0
    )
    found = renewal_due(row, RenewalWindow(start, start + length, None), not_after=not_after, earliest=earliest)
    if failed_at is not None or start <= due_at <= start + length or start > not_after:
        assert found == due_at
    else:
        assert found <= max(min(start + length, not_after), earliest)
        assert found >= max(start, min(earliest, due_at))


async def test_a_window_that_is_always_in_the_past_costs_a_renewal_a_day(
    restate_server: RestateServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first certificate is replaced at once, as one that was revoked; the one after it a day later, and that is
    said."""
    async with authority() as found:
        tls = Tls(email="a@example.test", directory=found.directory)
        async with worker_harness(restate_server, tmp_path, tls=tls, with_worker=False) as harness:
            found.window = (now_ms() - 2 * DAY_MS, now_ms() - DAY_MS)
            later = now_ms() + 60 * DAY_MS
            for certificate_id, order_id in (("cert_1", "ord_1"), ("cert_2", "ord_2")):
                await issue(harness.deps, later, certificate_id, order_id)
                issued_at = now_ms()
                with caplog.at_level("INFO"):
                    await ask_renewal_information(harness.deps)
                row = await managed(harness.deps)
                is_first = certificate_id == "cert_1"
                assert (row.due_at <= now_ms()) is is_first
                assert is_first or issued_at + DAY_MS - HOUR_MS < row.due_at <= issued_at + DAY_MS
            assert "a day after the last renewal" in caplog.text


async def test_a_window_after_the_end_changes_nothing(restate_server: RestateServer, tmp_path: Path) -> None:
    """A renewal that is due after the certificate's end would be due at once, again and again."""
    async with authority() as found:
        tls = Tls(email="a@example.test", directory=found.directory)
        async with worker_harness(restate_server, tmp_path, tls=tls, with_worker=False) as harness:
            later = now_ms() + 60 * DAY_MS
            for window in ((5000 * DAY_MS, 6000 * DAY_MS), (-DAY_MS, -2 * DAY_MS)):
                found.window = (now_ms() + window[0], now_ms() + window[1])
                await issue(harness.deps, later)
                await ask_renewal_information(harness.deps)
                assert (await managed(harness.deps)).due_at == later


@pytest.mark.skipif(not is_installed(), reason="Debian's packages pebble and bind9 are not installed")
async def test_records_that_were_left_behind_are_removed_later(restate_server: RestateServer, tmp_path: Path) -> None:
    """The DNS server was away when the order ended."""
    async with bind(tmp_path / "bind", "example.test") as named:
        away = msgspec.structs.replace(named.config, server=f"127.0.0.1:{free_port()}")
        for section, left in ((away, 1), (named.config, 0)):
            tls = Tls(email="a@example.test", directory="https://127.0.0.1:9/dir", dns=section)
            folder = tmp_path / f"left-{left}"
            folder.mkdir()
            async with worker_harness(restate_server, folder, tls=tls, with_worker=False) as harness:
                deps = harness.deps
                assert deps.dns is not None
                if not left:
                    await deps.dns.add_txt(f"_acme-challenge.{NAME}", "value")

                def write(connection: Connection) -> None:
                    now = now_ms()
                    orders.add(
                        connection, order_id="ord_1", name=NAME, names=[NAME], challenge=ChallengeKind.DNS_01,
                        key=SealedKey(b"k", b"s"), traceparent="", now=now,
                    )  # fmt: skip
                    queries.put_challenge(
                        connection, ChallengeRow("token", "ord_1", ChallengeKind.DNS_01, NAME, "value", now)
                    )
                    orders.cancel(connection, "ord_1", now)

                await deps.db.write(write)
                await forget_answers(deps)
                assert len(await deps.db.read(queries.challenges_of, "ord_1")) == left
        assert await named.txt(f"_acme-challenge.{NAME}") == set()
