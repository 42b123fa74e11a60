"""One pass over all certificates: compares what is wanted with what there is, in one transaction.

The local authority's certificates are issued in the pass itself. Those of an ACME server are orders, which the worker
carries out. All waiting is a stored due time, so a restart, a drain or an upgrade loses none of it.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pkg import installation
from pkg.certificates import local, orders, queries
from pkg.certificates.config import Tls
from pkg.certificates.model import SLOW, Authority, Certificate, Issuer, ManagedCertificate, Order, SealedKey
from pkg.certificates.schedule import DAY_MS, is_due, jitter, renewal_at
from pkg.certificates.wanted import Wanted, Wants
from pkg.clock import Clock
from pkg.config.sections import Ingress
from pkg.db import Database
from pkg.errors import SealiftError
from pkg.ids import new_id
from pkg.regions import queries as regions
from pkg.regions.silence import silences
from pkg.secrets import AssociatedData, Vault
from pkg.workflows import outbox
from pkg.workflows.certificate import CERTIFICATE
from svc.api.certificates.metrics import CertificateMetrics
from svc.api.certificates.names import wants
from svc.api.dispatch.dispatcher import Dispatcher

# Orders at an ACME server that are under way at once.
MAX_ORDERS = 5
# What the local authority issues in one transaction; the next pass follows at once.
MAX_ISSUED_AT_ONCE = 100
PAUSE_S = 1.0
EVERY_S = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What there is."""

    managed: dict[str, ManagedCertificate]
    certificates: dict[str, Certificate]
    ordered: frozenset[str]

    @classmethod
    def read(cls, connection: Connection) -> "State":
        """As it is now."""
        return cls(
            {row.name: row for row in queries.managed(connection)},
            {row.id: row for row in queries.every_certificate(connection, with_chain=False)},
            frozenset(order.name for order in orders.active(connection)),
        )

    def newest(self, name: str) -> Certificate | None:
        """The newest certificate of a name; None: there is none."""
        managed = self.managed.get(name)
        return None if managed is None else self.certificates.get(managed.certificate_id or "")

    def due(self, now: int) -> list[ManagedCertificate]:
        """What is due and not ordered yet, the workspaces in turn; of one, what has none at all comes first.

        An authority's patience is shared: a workspace whose many names fail again and again holds up no other one.
        """
        found = [
            row
            for row in self.managed.values()
            if row.name not in self.ordered and is_due(row, self.newest(row.name), now)
        ]
        found.sort(key=lambda row: (row.certificate_id is not None, row.due_at, row.name))
        turns = Counter(row.workspace_id for row in self.managed.values() if row.name in self.ordered)
        ranked = []
        for row in found:
            ranked.append((turns[row.workspace_id], row))
            turns[row.workspace_id] += 1
        return [row for _, row in sorted(ranked, key=lambda one: one[0])]


@dataclass(frozen=True)
class Pass:
    """What a pass did. `is_complete` False: more is due than one transaction does."""

    changes: int = 0
    has_orders: bool = False
    is_complete: bool = True


class CertificateSweep:
    """One task of the api; several may sweep, as each pass is one transaction that reads first.

    Args:
        db: the control database.
        clock: in epoch ms.
        vault: seals keys.
        tls: who issues.
        ingress: which names the installation has.
        dispatcher: told of orders.
        metrics: gets what each pass finds.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        tls: Tls,
        ingress: Ingress,
        dispatcher: Dispatcher,
        metrics: CertificateMetrics,
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._tls = tls
        self._ingress = ingress
        self._dispatcher = dispatcher
        self._metrics = metrics

    async def run(self) -> None:
        """Sweeps after each commit, at most once a second, and every minute, until cancelled."""
        while True:
            position = self._db.commits.position
            is_complete = True
            try:
                is_complete = await self.sweep()
            except (SealiftError, SQLAlchemyError, OSError):
                log.exception("the certificates could not be looked at")
            await asyncio.sleep(PAUSE_S)
            if is_complete:
                await self._db.commits.wait(position, await self._pause_s())

    async def _pause_s(self) -> float:
        """Until the next due time, a minute at most: a due time may also have been stored by a wrong clock."""

        def read(connection: Connection) -> list[int | None]:
            now, account = self._clock(), orders.account(connection, self._tls.directory)
            paused_until = None if account is None or account.paused_until <= now else account.paused_until
            return [queries.next_due_at(connection, now), paused_until]

        times = [at for at in await self._db.read(read) if at is not None]
        return max(min([EVERY_S, *((at - self._clock()) / 1000 for at in times)]), 0)

    async def sweep(self) -> bool:
        """One pass. False: more is due. It writes only when there is something to change."""
        is_needed, state = await self._db.read(self._look)
        self._metrics.found((row, state.newest(row.name)) for row in state.managed.values())
        if not is_needed:
            return True
        done = await self._db.write(self._pass)
        if done.has_orders:
            self._dispatcher.notify()
        return done.is_complete or not done.changes

    def _look(self, connection: Connection) -> tuple[bool, State]:
        state = State.read(connection)
        return self._is_needed(connection, state), state

    def _is_needed(self, connection: Connection, state: State) -> bool:
        now = self._clock()
        changed, gone = _differences(wants(connection, self._tls, self._ingress), state)
        if changed or gone or _superseded(connection, state, now):
            return True
        due = state.due(now)
        has_room = len(state.ordered) < MAX_ORDERS and not self._is_paused(connection, now)
        return any(row.issuer is Issuer.LOCAL or has_room for row in due)

    def _pass(self, connection: Connection) -> Pass:
        queries.record_directory(connection, self._tls.directory)
        now, state = self._clock(), State.read(connection)
        changed, gone = _differences(wants(connection, self._tls, self._ingress), state)
        for one in changed:
            _cancel_orders(connection, one.name, now)
            _put(connection, one, now)
        for name in gone:
            self._forget(connection, name, now)
        superseded = _superseded(connection, state, now)
        queries.remove_certificates(connection, superseded, now)
        state = State.read(connection)
        due = state.due(now)
        by_us = [row for row in due if row.issuer is Issuer.LOCAL]
        if by_us:
            self._issue(connection, by_us[:MAX_ISSUED_AT_ONCE], now)
        ordered = 0
        if not self._is_paused(connection, now):
            room = max(MAX_ORDERS - len(state.ordered), 0)
            for row in [row for row in due if row.issuer is Issuer.ACME][:room]:
                self._order(connection, row, now)
                ordered += 1
        count = len(changed) + len(gone) + len(superseded) + len(by_us) + ordered
        return Pass(count, ordered > 0, len(by_us) <= MAX_ISSUED_AT_ONCE)

    def _is_paused(self, connection: Connection, now: int) -> bool:
        account = orders.account(connection, self._tls.directory)
        return account is not None and account.paused_until > now

    def _forget(self, connection: Connection, name: str, now: int) -> None:
        """Nothing is served for it any more, and an order under way ends."""
        _cancel_orders(connection, name, now)
        queries.remove_managed(connection, [name])
        every = queries.every_certificate(connection, with_chain=False)
        ids = [row.id for row in every if row.name == name]
        queries.remove_certificates(connection, ids, now)

    def _issue(self, connection: Connection, due: list[ManagedCertificate], now: int) -> None:
        authority = ensure_authority(connection, self._vault, now)
        key = queries.authority_key(connection)
        authority_key = self._vault.open(key.data_key, key.key_sealed, AssociatedData.local_authority_key())
        for row in due:
            made = local.issue(authority.certificate_pem, authority_key, tuple(row.names_json), now)
            certificate_id = new_id("cert")
            data_key = self._vault.new_data_key()
            sealed = self._vault.seal(data_key, made.key_pem, AssociatedData.certificate_key(certificate_id))
            queries.add_certificate(
                connection,
                certificate_id=certificate_id,
                name=row.name,
                names=row.names_json,
                issuer=Issuer.LOCAL,
                chain_pem=made.chain_pem,
                key=SealedKey(data_key, sealed),
                not_before=made.not_before,
                not_after=made.not_after,
                now=now,
            )
            queries.note_issued(
                connection,
                row.name,
                certificate_id,
                due_at=renewal_at(made.not_before, made.not_after, jitter()),
                renewal_info_at=None,
                now=now,
            )

    def _order(self, connection: Connection, row: ManagedCertificate, now: int) -> None:
        order_id = new_id("ord")
        before = self._unfinished(connection, row)
        key_pem = local.new_key_pem() if before is None else self._key_of(connection, before)
        data_key = self._vault.new_data_key()
        sealed = self._vault.seal(data_key, key_pem, AssociatedData.certificate_order_key(order_id))
        orders.add(
            connection,
            order_id=order_id,
            name=row.name,
            names=row.names_json,
            challenge=row.challenge,
            key=SealedKey(data_key, sealed),
            traceparent="",
            now=now,
            url=None if before is None else before.url,
        )
        outbox.add(connection, CERTIFICATE, order_id, now)

    def _unfinished(self, connection: Connection, row: ManagedCertificate) -> Order | None:
        """The last order, if the authority was still at work on it and it can be taken up."""
        last = next(iter(orders.latest_of(connection, row.name, 1)), None)
        if row.error_code != SLOW:
            return None  # what is wanted has changed since: another authority, other names
        if last is None or last.error_code != SLOW or last.names_json != row.names_json:
            return None
        return last if last.challenge is row.challenge else None

    def _key_of(self, connection: Connection, order: Order) -> bytes:
        key = orders.key_of(connection, order.id)
        return self._vault.open(key.data_key, key.key_sealed, AssociatedData.certificate_order_key(order.id))


def ensure_authority(connection: Connection, vault: Vault, now: int) -> Authority:
    """The local authority; made at its first use, and again half a year before its end. Idempotent."""
    found = queries.authority(connection)
    if found is not None and found.not_after - now > local.AUTHORITY_RENEWED_DAYS * DAY_MS:
        return found
    ours = installation.get(connection)
    assert ours is not None
    made = local.make_authority(ours.installation_id, now)
    data_key = vault.new_data_key()
    sealed = vault.seal(data_key, made.key_pem, AssociatedData.local_authority_key())
    authority = Authority(made.chain_pem, made.not_after, now)
    queries.put_authority(connection, authority, SealedKey(data_key, sealed))
    return authority


def _differences(wanted: Wants, state: State) -> tuple[list[Wanted], list[str]]:
    """What is wanted and not as it is, and the names of what is wanted no more."""
    changed = [one for one in wanted.certificates if not _is_as(one, state.managed.get(one.name))]
    names = {one.name for one in wanted.certificates}
    return changed, [name for name in state.managed if name not in names]


def _is_as(one: Wanted, row: ManagedCertificate | None) -> bool:
    return row is not None and (
        (tuple(row.names_json), row.workspace_id, row.issuer, row.challenge, row.directory)
        == (one.names, one.workspace_id, one.issuer, one.challenge, one.directory)
    )


def _put(connection: Connection, one: Wanted, now: int) -> None:
    """A certificate of before is served until there is another one."""
    values = {
        "name": one.name,
        "names_json": list(one.names),
        "workspace_id": one.workspace_id,
        "issuer": one.issuer,
        "challenge": one.challenge,
        "directory": one.directory,
    }
    queries.put_managed(connection, values, now)


def _cancel_orders(connection: Connection, name: str, now: int) -> None:
    """Whatever they bring would not be what is wanted."""
    for order in orders.active(connection):
        if order.name == name and orders.cancel(connection, order.id, now):
            queries.remove_http_challenges(connection, order.id, now)


def _superseded(connection: Connection, state: State, now: int) -> list[str]:
    """Certificates that a newer one replaces which every region in contact serves.

    A region without contact serves what it had, and hears of the newer one first.
    """
    replaced = [
        (row.id, newest.version)
        for row in state.certificates.values()
        if (newest := state.newest(row.name)) is not None and newest.id != row.id
    ]
    if not replaced:
        return []
    known = regions.every(connection)
    silent = silences(known, now)
    in_contact = [region.name for region in known if region.name not in silent or silent[region.name].is_probed]
    return [one for one, version in replaced if not regions.behind(connection, in_contact, version)]
