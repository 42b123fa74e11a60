"""Workflow `Certificate`, keyed by order id: one attempt to get a certificate by ACME.

It takes a few minutes at most. What waits for longer (a renewal, another attempt, an authority that asked for a pause)
is the due time of a managed certificate, so a drain never waits for that.
"""

from collections.abc import Collection

from sqlalchemy import Connection, literal

from pkg.certificates import orders, queries
from pkg.certificates.model import OrderStatus
from pkg.certificates.schedule import jitter
from pkg.certificates.tables import certificate_orders
from pkg.restate import Handler
from pkg.workflows.deploy import LOST_CODE
from pkg.workflows.model import Notification, Rows, Workflow
from sealift.workflow.v1.workflow_pb2 import CertificateRequest, CertificateResult, Empty, NotifyRequest

CERTIFICATE_RUN = Handler("Certificate", "run", CertificateRequest, CertificateResult)
CERTIFICATE_APPLIED = Handler("Certificate", "applied", NotifyRequest, Empty)


def _end_lost(connection: Connection, order_id: str, now: int) -> int | None:
    """Fails it, so that it is tried again, and takes its answers from the ingress. The worker cleans up the DNS."""
    found = orders.get(connection, order_id)
    message = "The order ended inside Sealift without saying how. It is tried again by itself."
    if found is None or not orders.fail(
        connection, order_id, code=LOST_CODE, message=message, jitter=jitter(), now=now
    ):
        return None
    queries.remove_http_challenges(connection, order_id, now)
    return found.created_at


def _awaiting_applied(connection: Connection, deployment_ids: Collection[str], now: int) -> list[str]:
    return [order.id for order in orders.active(connection) if order.status is OrderStatus.RUNNING]


CERTIFICATE = Workflow(
    run=CERTIFICATE_RUN,
    request=lambda key: CertificateRequest(order_id=key),
    rows=Rows(
        certificate_orders,
        terminal=frozenset(status for status in OrderStatus if status.is_terminal),
        kind=literal("certificate order"),
    ),
    is_awaited_by_drain=True,
    end_lost=_end_lost,
    applied=Notification(CERTIFICATE_APPLIED, _awaiting_applied),
)
