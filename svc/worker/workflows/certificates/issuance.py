"""From a proven order to a certificate that the regions serve."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from sqlalchemy import Connection

from pkg.certificates import orders, queries
from pkg.certificates.model import SLOW, Issuer, Order, OrderStatus, SealedKey
from pkg.certificates.schedule import MINUTE_MS, jitter, renewal_at
from pkg.ids import new_id
from pkg.secrets import AssociatedData
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.certificates.attempt import (
    DONE,
    OVER,
    OrderFailed,
    Progress,
    account_of,
    acme_of,
    attempt,
    fail,
    key_of,
)


async def finalize(deps: WorkerDeps, order_id: str) -> Progress:
    """The certificate is asked for once the order is ready, and looked for. Repeatable: this is also the poll."""

    async def action(order: Order) -> Progress:
        assert order.url is not None
        server, account = acme_of(deps), await account_of(deps)
        state = await server.finalize(account, order.url, await key_of(deps, order), order.names_json)
        if state.failure is not None:
            raise state.failure
        if state.status == "valid":
            return DONE
        return Progress(state="waiting", wait_ms=state.retry_after_ms)

    return await attempt(deps, order_id, action)


async def note_slow(deps: WorkerDeps, order_id: str, waited_s: int) -> None:
    """Fails the order, because the authority takes longer than a workflow may wait. Idempotent."""
    order = await deps.db.read(orders.get, order_id)
    if order is not None and order.status is OrderStatus.RUNNING:
        message = f"The authority has not finished its work within {waited_s} s. It is tried again by itself."
        await fail(deps, order, code=SLOW, message=message)


async def store(deps: WorkerDeps, order_id: str) -> Progress:
    """The certificate is stored, with its change of the desired state, and the order is done. Idempotent.

    A certificate of before goes once every region has applied the change; the api's sweep sees to it.
    """

    async def action(order: Order) -> Progress:
        assert order.url is not None
        chain_pem = await acme_of(deps).certificate(await account_of(deps), order.url)
        key_pem = await key_of(deps, order)
        leaf = _checked(chain_pem, key_pem, order)
        certificate_id, data_key = new_id("cert"), deps.vault.new_data_key()
        sealed = deps.vault.seal(data_key, key_pem, AssociatedData.certificate_key(certificate_id))

        def write(connection: Connection) -> Progress:
            now = deps.clock()
            managed = queries.managed_named(connection, order.name)
            if managed is None or not orders.finish(connection, order.id, certificate_id, now):
                return OVER
            not_before, not_after = _epoch_ms(leaf.not_valid_before_utc), _epoch_ms(leaf.not_valid_after_utc)
            queries.add_certificate(
                connection,
                certificate_id=certificate_id,
                name=order.name,
                names=order.names_json,
                issuer=Issuer.ACME,
                chain_pem=chain_pem,
                key=SealedKey(data_key, sealed),
                not_before=not_before,
                not_after=not_after,
                now=now,
            )
            queries.note_issued(
                connection,
                order.name,
                certificate_id,
                due_at=renewal_at(not_before, not_after, jitter()),
                renewal_info_at=now + MINUTE_MS,
                now=now,
            )
            queries.remove_http_challenges(connection, order.id, now)
            return DONE

        return await deps.db.write(write)

    return await attempt(deps, order_id, action)


def _checked(chain_pem: str, key_pem: bytes, order: Order) -> x509.Certificate:
    """The first certificate of the chain. Raises OrderFailed when it is not what was asked for."""
    try:
        leaf = x509.load_pem_x509_certificates(chain_pem.encode())[0]
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        raise OrderFailed("certificate.refused", "The authority sent what is no certificate.") from None
    key = serialization.load_pem_private_key(key_pem, None)
    missing = set(order.names_json) - set(alternatives.get_values_for_type(x509.DNSName))
    if leaf.public_key() != key.public_key() or missing:
        raise OrderFailed("certificate.refused", "The authority sent a certificate for another key or other names.")
    return leaf


def _epoch_ms(at: datetime.datetime) -> int:
    return int(at.timestamp() * 1000)
