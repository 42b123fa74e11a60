"""Which proofs an order gives."""

import pytest

from pkg.acme.server import Authorization
from pkg.certificates.model import ChallengeKind, Order, OrderStatus
from svc.worker.workflows.certificates.attempt import OrderFailed
from svc.worker.workflows.certificates.proof import check_names


def asked(*hostnames: str) -> list[Authorization]:
    """What the authority wants to be proven."""
    return [Authorization(hostname, "pending", None, None, 0) for hostname in hostnames]


def test_nothing_is_proven_that_was_not_ordered() -> None:
    """An authority that lies gets no answer at a hostname of others, and no record in the zone for one."""
    order = Order(
        id="ord_1", name="a.example", names_json=["a.example", "*.b.example"], challenge=ChallengeKind.DNS_01,
        status=OrderStatus.RUNNING, url="https://ca.example/1", certificate_id=None, error_code=None,
        error_message=None, traceparent="", created_at=0, ended_at=None,
    )  # fmt: skip
    check_names(order, asked("a.example", "b.example"))
    for foreign in ("www.a.example", "example", "*.b.example", "a.example/../x", ""):
        with pytest.raises(OrderFailed, match="not in the order"):
            check_names(order, asked("a.example", foreign))
