"""Rows of domains, and what a check of DNS found. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from pkg.domains.names import DomainName


class DomainStatus(StrEnum):
    """Pending until proven; active until it is removed, or lost to a workspace that proves it controls the zone."""

    PENDING = "pending"
    ACTIVE = "active"
    LOST = "lost"


@dataclass(frozen=True)
class RecordCheck:
    """One record: what is wanted and what is there.

    Attributes:
        type: "TXT", "CNAME", "A" or "AAAA".
        name: absolute, without the trailing dot.
        wanted: its values; of A and AAAA any of them will do. Empty: there must be none.
        found: its values, at most 10.
        reason: why it is not right, for people; "" when it is.
    """

    type: str
    name: str
    wanted: tuple[str, ...]
    found: tuple[str, ...] = ()
    is_right: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        records: the ownership record first.
        is_owned: whether the ownership record is there; None when DNS did not say.
        is_pointed: whether requests come here; None when DNS did not say.
        warnings: what does not keep the domain from being served, for people.
        txt: all values at the place of the ownership record, those of other workspaces among them.
    """

    records: tuple[RecordCheck, ...] = ()
    is_owned: bool | None = None
    is_pointed: bool | None = None
    warnings: tuple[str, ...] = ()
    txt: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong."""
        return bool(self.is_owned and self.is_pointed)

    @property
    def reason(self) -> str:
        """What is wrong, for people; "" for nothing."""
        return " ".join(record.reason for record in self.records if record.reason)


@dataclass(frozen=True)
class Domain:
    """A row of `domains`.

    Attributes:
        is_owned: the last check that got an answer found the ownership record.
        is_right: the last check found nothing wrong.
        report_json: of the last check, see `report`; {} before it.
        checking_since: since when the same has been waited for, epoch ms; pauses grow with it.
        next_check_at: None: when a user asks.
    """

    id: str
    workspace_id: str
    project_id: str
    environment_id: str
    hostname: str
    registrable: str
    token: str
    status: DomainStatus
    is_owned: bool
    is_right: bool
    report_json: Mapping[str, Any] = field(repr=False)
    checking_since: int
    checked_at: int | None
    next_check_at: int | None
    verified_at: int | None
    created_at: int
    updated_at: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", DomainStatus(self.status))

    @property
    def name(self) -> DomainName:
        """The hostname as a value."""
        return DomainName(self.hostname, self.registrable)

    @property
    def records(self) -> tuple[RecordCheck, ...]:
        """Of the last check."""
        return tuple(
            RecordCheck(
                type=one["type"],
                name=one["name"],
                wanted=tuple(one["wanted"]),
                found=tuple(one["found"]),
                is_right=one["is_right"],
                reason=one["reason"],
            )
            for one in self.report_json.get("records", ())
        )

    @property
    def reason(self) -> str:
        """What the last check found wrong."""
        return str(self.report_json.get("reason", ""))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the last check."""
        return tuple(self.report_json.get("warnings", ()))


def report_json(report: Report, reason: str) -> dict[str, Any]:
    """As a row keeps it."""
    return {
        "records": [asdict(record) for record in report.records],
        "warnings": list(report.warnings),
        "reason": reason,
    }


@dataclass(frozen=True)
class ActiveHostname:
    """An active domain, and where it belongs."""

    hostname: str
    domain_id: str
    workspace_id: str
    project_id: str
    environment_id: str
