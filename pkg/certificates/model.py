"""Rows of certificates and orders, their kinds and statuses. Pure."""

from dataclasses import dataclass
from enum import StrEnum

# The error code of an order on which the authority was still at work: the next attempt goes on with it.
SLOW = "certificate.slow"


class Issuer(StrEnum):
    """Who issues a certificate."""

    LOCAL = "local"  # the installation's own authority
    ACME = "acme"


class ChallengeKind(StrEnum):
    """How control of a name is proven; the values are the names of RFC 8555."""

    NONE = ""  # the local authority asks for no proof
    HTTP_01 = "http-01"
    DNS_01 = "dns-01"


class OrderStatus(StrEnum):
    """The progress and outcome of an order."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"  # the name is wanted no more

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final: it is never overwritten."""
        return self in (OrderStatus.DONE, OrderStatus.FAILED, OrderStatus.CANCELLED)


@dataclass(frozen=True)
class ManagedCertificate:
    """A row of `managed_certificates`.

    Attributes:
        name: the first of `names_json`.
        workspace_id: None: it is the installation's.
        certificate_id: the newest that is served; None: there is none yet.
        due_at: when the next order is due, epoch ms: a first one, a renewal, or another attempt.
        failures: attempts that failed since the last success.
        failed_at: when the last attempt failed; None: the last one succeeded.
        renewal_info_at: when the authority is to be asked when to renew; None: never.
        directory: of the ACME server; "": the local authority; None: not recorded yet.
    """

    name: str
    names_json: list[str]
    workspace_id: str | None
    issuer: Issuer
    challenge: ChallengeKind
    certificate_id: str | None
    due_at: int
    failures: int
    error_code: str | None
    error_message: str | None
    failed_at: int | None
    renewal_info_at: int | None
    created_at: int
    updated_at: int
    directory: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "issuer", Issuer(self.issuer))
        object.__setattr__(self, "challenge", ChallengeKind(self.challenge))


@dataclass(frozen=True)
class Certificate:
    """A row of `certificates`, without its key.

    Attributes:
        chain_pem: the certificate, then its issuers.
        version: of the change that brought it to the regions; 0: they have not got it, as TLS is off.
    """

    id: str
    name: str
    names_json: list[str]
    issuer: Issuer
    chain_pem: str
    not_before: int
    not_after: int
    version: int
    created_at: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "issuer", Issuer(self.issuer))


@dataclass(frozen=True)
class SealedKey:
    """A private key as it is stored: sealed under a data key of its own."""

    data_key: bytes
    key_sealed: bytes

    def __repr__(self) -> str:
        return "SealedKey(****)"


@dataclass(frozen=True)
class Order:
    """A row of `certificate_orders`, without its key.

    Attributes:
        url: of the order at the ACME server; None: it is not made yet.
    """

    id: str
    name: str
    names_json: list[str]
    challenge: ChallengeKind
    status: OrderStatus
    url: str | None
    certificate_id: str | None
    error_code: str | None
    error_message: str | None
    traceparent: str
    created_at: int
    ended_at: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "challenge", ChallengeKind(self.challenge))
        object.__setattr__(self, "status", OrderStatus(self.status))


@dataclass(frozen=True)
class ChallengeRow:
    """A row of `acme_challenges`.

    Attributes:
        token: of the ACME server; unique.
        hostname: that is proven; without "*.".
        value: for http-01 the key authorization; for dns-01 the text of the record _acme-challenge.<hostname>.
    """

    token: str
    order_id: str
    kind: ChallengeKind
    hostname: str
    value: str
    created_at: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", ChallengeKind(self.kind))


@dataclass(frozen=True)
class Account:
    """A row of `acme_accounts`, without its key.

    Attributes:
        url: None: it is not registered yet.
        paused_until: epoch ms; the server asked for nothing before.
    """

    directory: str
    email: str
    url: str | None
    paused_until: int
    pause_reason: str
    created_at: int


@dataclass(frozen=True)
class Authority:
    """A row of `local_authority`, without its key."""

    certificate_pem: str
    not_after: int
    created_at: int
