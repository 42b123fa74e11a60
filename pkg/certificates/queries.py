"""Statements about certificates, what is to have one, and answers to challenges."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, select, update

from pkg.certificates.model import (
    Authority,
    Certificate,
    ChallengeKind,
    ChallengeRow,
    Issuer,
    ManagedCertificate,
    SealedKey,
)
from pkg.certificates.tables import acme_challenges, certificates, local_authority, managed_certificates
from pkg.db import rows, upsert
from pkg.desired.capabilities import CERTIFICATE, CHALLENGE
from pkg.feed.queries import record

MAX_MESSAGE_CHARS = 2048
# In place of a version: the regions have not got the certificate, as TLS is off.
WITHHELD = 0
_CERTIFICATE = [column for column in certificates.c if column.name not in {"data_key", "key_sealed"}]
_WITHOUT_CHAIN = [column for column in _CERTIFICATE if column.name != "chain_pem"]
_AUTHORITY = [local_authority.c.certificate_pem, local_authority.c.not_after, local_authority.c.created_at]


def managed(connection: Connection) -> list[ManagedCertificate]:
    """All, by name."""
    query = select(managed_certificates).order_by(managed_certificates.c.name)
    return rows.every(ManagedCertificate, connection.execute(query))


def managed_named(connection: Connection, name: str) -> ManagedCertificate | None:
    """The one of that name."""
    query = select(managed_certificates).where(managed_certificates.c.name == name)
    return rows.one(ManagedCertificate, connection.execute(query))


def put_managed(connection: Connection, values: dict[str, Any], now: int) -> None:
    """Inserts a row, due at once; of one that exists, only the columns in `values` change, and it is due at once."""
    row: dict[str, Any] = {"failures": 0, **values, "due_at": now, "updated_at": now}
    statement = upsert.insert(connection, managed_certificates).values(**row, created_at=now)
    fresh = {"error_code": None, "error_message": None, "failed_at": None, "renewal_info_at": None}
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row | fresh))


def change_managed(connection: Connection, name: str, now: int, **values: Any) -> bool:
    """Writes columns of one. False: it is gone."""
    statement = update(managed_certificates).where(managed_certificates.c.name == name)
    return connection.execute(statement.values(**values, updated_at=now)).rowcount == 1


def record_directory(connection: Connection, directory: str) -> None:
    """Fills in where the certificates of earlier versions come from: the server that is configured. Idempotent."""
    unknown = update(managed_certificates).where(managed_certificates.c.directory.is_(None))
    connection.execute(unknown.where(managed_certificates.c.issuer == Issuer.ACME).values(directory=directory))
    connection.execute(unknown.values(directory=""))


def note_issued(
    connection: Connection, name: str, certificate_id: str, *, due_at: int, renewal_info_at: int | None, now: int
) -> bool:
    """From now on this is the newest certificate, and `due_at` is of its renewal. False: none is wanted any more."""
    return change_managed(
        connection,
        name,
        now,
        certificate_id=certificate_id,
        due_at=due_at,
        renewal_info_at=renewal_info_at,
        failures=0,
        error_code=None,
        error_message=None,
        failed_at=None,
    )


def remove_managed(connection: Connection, names: Collection[str]) -> None:
    """Forgets them. Their certificates stay until `remove_certificates`."""
    connection.execute(delete(managed_certificates).where(managed_certificates.c.name.in_(names)))


def next_due_at(connection: Connection, after: int) -> int | None:
    """The next time after `after` at which an order is due; None: none is."""
    query = select(func.min(managed_certificates.c.due_at)).where(managed_certificates.c.due_at > after)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else int(found)


def asking_for_renewal_information(connection: Connection, now: int, limit: int) -> list[ManagedCertificate]:
    """Those whose authority is to be asked now when to renew, the longest due first."""
    due = managed_certificates.c.renewal_info_at
    query = select(managed_certificates).where(due <= now).order_by(due).limit(limit)
    return rows.every(ManagedCertificate, connection.execute(query))


def add_certificate(
    connection: Connection,
    *,
    certificate_id: str,
    name: str,
    names: list[str],
    issuer: Issuer,
    chain_pem: str,
    key: SealedKey,
    not_before: int,
    not_after: int,
    now: int,
) -> int:
    """Stores a certificate and tells the regions to serve it. Returns the version of the change."""
    version = record(connection, CERTIFICATE, certificate_id, now)
    connection.execute(
        insert(certificates).values(
            id=certificate_id,
            name=name,
            names_json=names,
            issuer=issuer,
            chain_pem=chain_pem,
            data_key=key.data_key,
            key_sealed=key.key_sealed,
            not_before=not_before,
            not_after=not_after,
            version=version,
            created_at=now,
        )
    )
    return version


def every_certificate(connection: Connection, *, with_chain: bool = True) -> list[Certificate]:
    """All that are served, by id: the oldest first. Without their chains, `chain_pem` is empty."""
    columns = _CERTIFICATE if with_chain else [*_WITHOUT_CHAIN, literal("").label("chain_pem")]
    return rows.every(Certificate, connection.execute(select(*columns).order_by(certificates.c.id)))


def certificate(connection: Connection, certificate_id: str) -> Certificate | None:
    """One that is served."""
    return rows.one(Certificate, connection.execute(select(*_CERTIFICATE).where(certificates.c.id == certificate_id)))


def certificate_key(connection: Connection, certificate_id: str) -> SealedKey:
    """Its key. Raises LookupError when it is gone."""
    query = select(certificates.c.data_key, certificates.c.key_sealed).where(certificates.c.id == certificate_id)
    found = rows.one(SealedKey, connection.execute(query))
    if found is None:
        raise LookupError(f"certificate {certificate_id} is gone")
    return found


def remove_certificates(connection: Connection, ids: Collection[str], now: int) -> None:
    """Deletes certificates and tells the regions to serve them no more. Idempotent."""
    for certificate_id in sorted(ids):
        if connection.execute(delete(certificates).where(certificates.c.id == certificate_id)).rowcount:
            record(connection, CERTIFICATE, certificate_id, now)


def withhold_certificates(connection: Connection, now: int) -> None:
    """Tells the regions to serve no certificate, and keeps them all, for as long as TLS is off. Idempotent."""
    for certificate_id in _ids(connection, certificates.c.version != WITHHELD):
        record(connection, CERTIFICATE, certificate_id, now)
        _set_version(connection, certificate_id, WITHHELD)


def release_certificates(connection: Connection, now: int) -> None:
    """Tells the regions to serve again what was withheld. Idempotent."""
    for certificate_id in _ids(connection, certificates.c.version == WITHHELD):
        _set_version(connection, certificate_id, record(connection, CERTIFICATE, certificate_id, now))


def _ids(connection: Connection, which: ColumnElement[bool]) -> list[str]:
    return list(connection.execute(select(certificates.c.id).where(which).order_by(certificates.c.id)).scalars())


def _set_version(connection: Connection, certificate_id: str, version: int) -> None:
    connection.execute(update(certificates).where(certificates.c.id == certificate_id).values(version=version))


def put_challenge(connection: Connection, row: ChallengeRow) -> int:
    """Stores the answer to a challenge; one for HTTP goes to the regions.

    Idempotent, though each call of an HTTP one is a change. Returns its version; 0 for an answer in the DNS.
    """
    values = {name: getattr(row, name) for name in ("token", "order_id", "kind", "hostname", "value", "created_at")}
    statement = upsert.insert(connection, acme_challenges).values(**values)
    connection.execute(statement.on_conflict_do_update(index_elements=["token"], set_=values))
    return record(connection, CHALLENGE, row.token, row.created_at) if row.kind is ChallengeKind.HTTP_01 else 0


def http_challenges(connection: Connection) -> list[ChallengeRow]:
    """The answers that the ingress gives."""
    query = select(acme_challenges).where(acme_challenges.c.kind == ChallengeKind.HTTP_01)
    return rows.every(ChallengeRow, connection.execute(query.order_by(acme_challenges.c.token)))


def http_challenge(connection: Connection, token: str) -> ChallengeRow | None:
    """The answer that the ingress gives for a token."""
    query = select(acme_challenges).where(
        acme_challenges.c.token == token, acme_challenges.c.kind == ChallengeKind.HTTP_01
    )
    return rows.one(ChallengeRow, connection.execute(query))


def challenges_of(connection: Connection, order_id: str) -> list[ChallengeRow]:
    """The answers of an order, in either place."""
    query = select(acme_challenges).where(acme_challenges.c.order_id == order_id)
    return rows.every(ChallengeRow, connection.execute(query.order_by(acme_challenges.c.token)))


def remove_challenges(connection: Connection, tokens: Collection[str], now: int) -> None:
    """Deletes answers; the ingress stops giving them. Idempotent."""
    for token in sorted(tokens):
        statement = delete(acme_challenges).where(acme_challenges.c.token == token).returning(acme_challenges.c.kind)
        kind = connection.execute(statement).scalar_one_or_none()
        if kind == ChallengeKind.HTTP_01:
            record(connection, CHALLENGE, token, now)


def remove_http_challenges(connection: Connection, order_id: str, now: int) -> None:
    """Takes an order's answers from the ingress; those in the DNS are deleted there before their rows. Idempotent."""
    tokens = [row.token for row in challenges_of(connection, order_id) if row.kind is ChallengeKind.HTTP_01]
    remove_challenges(connection, tokens, now)


def authority(connection: Connection) -> Authority | None:
    """The local certificate authority; None: nothing has needed it yet."""
    return rows.one(Authority, connection.execute(select(*_AUTHORITY)))


def authority_key(connection: Connection) -> SealedKey:
    """Its key. Raises LookupError when there is none."""
    query = select(local_authority.c.data_key, local_authority.c.key_sealed)
    found = rows.one(SealedKey, connection.execute(query))
    if found is None:
        raise LookupError("there is no local certificate authority")
    return found


def put_authority(connection: Connection, made: Authority, key: SealedKey) -> None:
    """Stores the local authority in the place of the one before."""
    values = {
        "certificate_pem": made.certificate_pem,
        "not_after": made.not_after,
        "created_at": made.created_at,
        "data_key": key.data_key,
        "key_sealed": key.key_sealed,
    }
    statement = upsert.insert(connection, local_authority).values(row=1, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["row"], set_=values))
