"""Statements about orders and the accounts that they are made with."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from pkg.certificates import queries
from pkg.certificates.model import Account, ChallengeKind, Order, OrderStatus, SealedKey
from pkg.certificates.queries import MAX_MESSAGE_CHARS
from pkg.certificates.schedule import DAY_MS, retry_at
from pkg.certificates.tables import acme_accounts, acme_challenges, certificate_orders
from pkg.db import rows, upsert

KEEP_MS = 30 * DAY_MS
ACTIVE = (OrderStatus.PENDING, OrderStatus.RUNNING)
_ORDER = [column for column in certificate_orders.c if column.name not in {"data_key", "key_sealed"}]
_ACCOUNT = [column for column in acme_accounts.c if column.name not in {"data_key", "key_sealed"}]


def add(
    connection: Connection,
    *,
    order_id: str,
    name: str,
    names: Sequence[str],
    challenge: ChallengeKind,
    key: SealedKey,
    traceparent: str,
    now: int,
    url: str | None = None,
) -> None:
    """Records an order; `url`: the one at the server that it goes on with.

    Raises:
        IntegrityError: another one for the name is under way.
    """
    connection.execute(
        insert(certificate_orders).values(
            id=order_id,
            name=name,
            names_json=list(names),
            challenge=challenge,
            status=OrderStatus.PENDING,
            url=url,
            data_key=key.data_key,
            key_sealed=key.key_sealed,
            traceparent=traceparent,
            created_at=now,
        )
    )


def get(connection: Connection, order_id: str) -> Order | None:
    """The order."""
    return rows.one(Order, connection.execute(select(*_ORDER).where(certificate_orders.c.id == order_id)))


def key_of(connection: Connection, order_id: str) -> SealedKey:
    """The key that it asks a certificate for. Raises LookupError when there is no such order."""
    query = select(certificate_orders.c.data_key, certificate_orders.c.key_sealed)
    found = rows.one(SealedKey, connection.execute(query.where(certificate_orders.c.id == order_id)))
    if found is None:
        raise LookupError(f"no order {order_id}")
    return found


def active(connection: Connection) -> list[Order]:
    """Every order that has not ended, the oldest first."""
    query = select(*_ORDER).where(certificate_orders.c.status.in_(ACTIVE)).order_by(certificate_orders.c.id)
    return rows.every(Order, connection.execute(query))


def latest_of(connection: Connection, name: str, limit: int) -> list[Order]:
    """The last orders for a name, the newest first."""
    query = select(*_ORDER).where(certificate_orders.c.name == name).order_by(certificate_orders.c.id.desc())
    return rows.every(Order, connection.execute(query.limit(limit)))


def ended_with_answers(connection: Connection) -> list[str]:
    """Orders that have ended and have left answers behind."""
    query = (
        select(certificate_orders.c.id)
        .where(certificate_orders.c.ended_at.is_not(None), certificate_orders.c.id == acme_challenges.c.order_id)
        .distinct()
        .order_by(certificate_orders.c.id)
    )
    return [str(found) for found in connection.execute(query).scalars()]


def forget_old(connection: Connection, now: int) -> None:
    """Deletes orders that ended more than 30 days ago. Idempotent."""
    connection.execute(delete(certificate_orders).where(certificate_orders.c.ended_at < now - KEEP_MS))


def begin(connection: Connection, order_id: str) -> bool:
    """Marks it running. False: it has started, or ended, already."""
    statement = (
        update(certificate_orders)
        .where(certificate_orders.c.id == order_id, certificate_orders.c.status == OrderStatus.PENDING)
        .values(status=OrderStatus.RUNNING)
    )
    return connection.execute(statement).rowcount == 1


def set_url(connection: Connection, order_id: str, url: str) -> None:
    """Keeps where the order is at the ACME server. Idempotent."""
    connection.execute(update(certificate_orders).where(certificate_orders.c.id == order_id).values(url=url))


def finish(connection: Connection, order_id: str, certificate_id: str, now: int) -> bool:
    """Ends it as done. False: it had ended already."""
    return _end(connection, order_id, now, status=OrderStatus.DONE, certificate_id=certificate_id)


def cancel(connection: Connection, order_id: str, now: int) -> bool:
    """Ends it, because its name is wanted no more. False: it had ended already."""
    return _end(connection, order_id, now, status=OrderStatus.CANCELLED)


def fail(
    connection: Connection,
    order_id: str,
    *,
    code: str,
    message: str,
    jitter: float,
    now: int,
    retry_after_ms: int = 0,
) -> bool:
    """Ends it as failed, and says when its name is tried again. False: it had ended already.

    Args:
        connection: of the transaction.
        order_id: of the order.
        code: of the failure, as in docs/errors.md.
        message: for people, with the authority's own reason; cut to 2048 characters.
        jitter: see `retry_at`.
        now: epoch ms.
        retry_after_ms: that the authority asked for.
    """
    message = message[:MAX_MESSAGE_CHARS]
    values = {"status": OrderStatus.FAILED, "error_code": code, "error_message": message}
    if not _end(connection, order_id, now, **values):
        return False
    order = get(connection, order_id)
    assert order is not None
    managed = queries.managed_named(connection, order.name)
    if managed is not None:
        failures = managed.failures + 1
        queries.change_managed(
            connection,
            order.name,
            now,
            failures=failures,
            error_code=code,
            error_message=message,
            failed_at=now,
            due_at=retry_at(now, failures, jitter, retry_after_ms),
        )
    return True


def _end(connection: Connection, order_id: str, now: int, **values: object) -> bool:
    statement = (
        update(certificate_orders)
        .where(certificate_orders.c.id == order_id, certificate_orders.c.status.in_(ACTIVE))
        .values(ended_at=now, **values)
    )
    return connection.execute(statement).rowcount == 1


def account(connection: Connection, directory: str) -> Account | None:
    """The account at an ACME server; None: none was made."""
    query = select(*_ACCOUNT).where(acme_accounts.c.directory == directory)
    return rows.one(Account, connection.execute(query))


def account_key(connection: Connection, directory: str) -> SealedKey:
    """Its key. Raises LookupError when there is none."""
    query = select(acme_accounts.c.data_key, acme_accounts.c.key_sealed)
    found = rows.one(SealedKey, connection.execute(query.where(acme_accounts.c.directory == directory)))
    if found is None:
        raise LookupError(f"no account at {directory}")
    return found


def add_account(connection: Connection, directory: str, email: str, key: SealedKey, now: int) -> None:
    """Keeps the key of an account before it is registered; one that exists stays. Idempotent."""
    statement = upsert.insert(connection, acme_accounts).values(
        directory=directory,
        email=email,
        data_key=key.data_key,
        key_sealed=key.key_sealed,
        paused_until=0,
        pause_reason="",
        created_at=now,
    )
    connection.execute(statement.on_conflict_do_nothing(index_elements=["directory"]))


def set_account_url(connection: Connection, directory: str, url: str, email: str) -> None:
    """Keeps that the account is registered, with this e-mail address. Idempotent."""
    statement = update(acme_accounts).where(acme_accounts.c.directory == directory)
    connection.execute(statement.values(url=url, email=email))


def forget_account_url(connection: Connection, directory: str) -> None:
    """The server does not know the account: it is registered again, with the same key."""
    connection.execute(update(acme_accounts).where(acme_accounts.c.directory == directory).values(url=None))


def pause_account(connection: Connection, directory: str, until: int, reason: str) -> None:
    """Nothing is ordered there before `until`, epoch ms."""
    statement = update(acme_accounts).where(acme_accounts.c.directory == directory)
    connection.execute(statement.values(paused_until=until, pause_reason=reason[:MAX_MESSAGE_CHARS]))
