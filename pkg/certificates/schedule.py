"""When an order for a certificate is due. Pure, but for `jitter`; times are epoch ms.

Due times are stored, so a restart changes none. A clock that was wrong when they were stored must not matter for long:
`is_due` asks whether a stored time can be right.
"""

import random

from pkg.certificates.model import Certificate, Issuer, ManagedCertificate

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
# Pauses after the first, second, ... failure. Let's Encrypt allows five failed validations of a hostname in an hour.
RETRY_PAUSES_MS = (MINUTE_MS, 5 * MINUTE_MS, 20 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS)
MAX_RETRY_AFTER_MS = 7 * DAY_MS
RENEWAL_INFO_EVERY_MS = 6 * HOUR_MS
# Spreads renewals of certificates that were issued together over a twenty-fifth of their lifetime.
_JITTER = 1 / 25
# A time that is further ahead than the clocks of two machines differ was stored by a wrong clock.
CLOCK_SLACK_MS = HOUR_MS


def jitter() -> float:
    """A random share, 0..1, for `renewal_at` and `retry_at`."""
    return random.random()  # noqa: S311 - spreads load, guards nothing


def renewal_at(not_before: int, not_after: int, jitter: float) -> int:
    """When to renew: after two thirds of the lifetime, later by up to a twenty-fifth of it (`jitter` 0..1)."""
    lifetime = not_after - not_before
    return not_before + int(lifetime * (2 / 3 + _JITTER * jitter))


def retry_at(now: int, failures: int, jitter: float, retry_after_ms: int = 0) -> int:
    """When to try again after `failures` (1 and up) in a row.

    Args:
        now: of the failure.
        failures: in a row, this one included.
        jitter: 0..1; adds up to a tenth of the pause.
        retry_after_ms: that the authority asked for; up to seven days of it are respected.
    """
    pause = RETRY_PAUSES_MS[min(failures, len(RETRY_PAUSES_MS)) - 1]
    return now + max(int(pause * (1 + jitter / 10)), min(retry_after_ms, MAX_RETRY_AFTER_MS))


def renewal_info_at(now: int, retry_after_ms: int | None = None) -> int:
    """When to ask the authority again when to renew: as it says (a minute to a day), else in six hours."""
    if retry_after_ms is None:
        return now + RENEWAL_INFO_EVERY_MS
    return now + min(max(retry_after_ms, MINUTE_MS), DAY_MS)


def is_due(managed: ManagedCertificate, certificate: Certificate | None, now: int) -> bool:
    """Whether an order is due.

    Args:
        managed: what is to have a certificate.
        certificate: the newest; None: there is none.
        now: by this machine's clock, which may have been wrong before or be wrong now.
    """
    if managed.due_at <= now:
        return True
    if managed.failed_at is not None:
        # the pause was counted from a time that is still to come: the clock has been set back
        return managed.failed_at > now + CLOCK_SLACK_MS
    if certificate is None:
        return True
    if certificate.issuer is Issuer.LOCAL and certificate.not_before > now + CLOCK_SLACK_MS:
        return True  # by a clock that was ahead: no client takes it yet
    return managed.due_at > certificate.not_after
