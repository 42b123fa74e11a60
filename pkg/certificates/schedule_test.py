"""Promise: an order is due when it should be, whatever the clocks were when its time was stored."""

from hypothesis import given
from hypothesis import strategies as st

from pkg.certificates.model import Certificate, ChallengeKind, Issuer, ManagedCertificate
from pkg.certificates.schedule import (
    CLOCK_SLACK_MS,
    DAY_MS,
    HOUR_MS,
    MAX_RETRY_AFTER_MS,
    MINUTE_MS,
    RETRY_PAUSES_MS,
    is_due,
    renewal_at,
    renewal_info_at,
    retry_at,
)

NOW = 1_800_000_000_000
times = st.integers(min_value=1, max_value=2 * NOW)
shares = st.floats(min_value=0, max_value=1)


def managed(due_at: int, *, failed_at: int | None = None, certificate_id: str | None = None) -> ManagedCertificate:
    return ManagedCertificate(
        "a.x", ["a.x"], None, Issuer.LOCAL, ChallengeKind.NONE, certificate_id, due_at, 0, None, None, failed_at, None,
        NOW, NOW,
    )  # fmt: skip


def certificate(not_before: int, not_after: int, issuer: Issuer = Issuer.LOCAL) -> Certificate:
    return Certificate("cert_1", "a.x", ["a.x"], issuer, "", not_before, not_after, 1, not_before)


@given(times, st.integers(min_value=MINUTE_MS, max_value=400 * DAY_MS), shares)
def test_a_renewal_is_due_after_two_thirds_of_the_lifetime(not_before: int, lifetime: int, share: float) -> None:
    """And leaves at least a quarter of it for attempts that fail."""
    due = renewal_at(not_before, not_before + lifetime, share)
    assert 2 / 3 * lifetime - 1 <= due - not_before <= 0.75 * lifetime


@given(st.integers(min_value=1, max_value=1000), shares, st.integers(min_value=0, max_value=400 * DAY_MS))
def test_pauses_grow_and_end(failures: int, share: float, retry_after: int) -> None:
    """No failure is tried at once again, and none is given up; what the authority asks for is respected."""
    at = retry_at(NOW, failures, share, retry_after)
    assert NOW + MINUTE_MS <= at <= NOW + MAX_RETRY_AFTER_MS
    assert at >= NOW + min(retry_after, MAX_RETRY_AFTER_MS)
    assert retry_at(NOW, failures + 1, 0) >= retry_at(NOW, failures, 0)


def test_an_hour_holds_at_most_four_attempts() -> None:
    """Let's Encrypt allows five failed validations of a hostname in an hour."""
    at, attempts = NOW, 0
    while at < NOW + HOUR_MS:
        attempts += 1
        at = retry_at(at, attempts, 0)
    assert attempts <= 4


@given(times, times, times, times)
def test_a_first_certificate_is_never_waited_for(due_at: int, now: int, not_before: int, lifetime: int) -> None:
    """Without a failure, a name without a certificate is due, whatever is stored."""
    assert is_due(managed(due_at), None, now)


@given(times, times, shares)
def test_a_clock_that_was_ahead_delays_a_retry_by_a_pause_at_most(failed_at: int, now: int, share: float) -> None:
    """A failure in the future is none to wait for."""
    row = managed(retry_at(failed_at, 3, share), failed_at=failed_at)
    if failed_at > now + CLOCK_SLACK_MS:
        assert is_due(row, None, now)
    if now >= failed_at + RETRY_PAUSES_MS[2] * 1.1:
        assert is_due(row, None, now)


@given(times, shares)
def test_a_certificate_from_the_future_is_replaced(not_before: int, share: float) -> None:
    """The local authority signs by this machine's clock; no client takes what is not valid yet."""
    row = managed(renewal_at(not_before, not_before + 90 * DAY_MS, share), certificate_id="cert_1")
    found = certificate(not_before, not_before + 90 * DAY_MS)
    assert is_due(row, found, not_before - 2 * CLOCK_SLACK_MS)
    assert not is_due(row, found, not_before + HOUR_MS)
    assert is_due(row, found, not_before + 80 * DAY_MS)


def test_an_authoritys_certificate_is_not_ordered_again_by_a_clock_that_is_behind() -> None:
    """It is valid by everybody else's clock; each pass would order another one."""
    row = managed(NOW + 60 * DAY_MS, certificate_id="cert_1")
    found = certificate(NOW, NOW + 90 * DAY_MS, Issuer.ACME)
    assert not is_due(row, found, NOW - 365 * DAY_MS)


@given(times, st.none() | st.integers(min_value=0, max_value=400 * DAY_MS))
def test_renewal_information_is_asked_for_within_a_day(now: int, retry_after: int | None) -> None:
    """A revocation is noticed by it; an authority can't turn it off, nor have it asked without end."""
    assert now + MINUTE_MS <= renewal_info_at(now, retry_after) <= now + DAY_MS
