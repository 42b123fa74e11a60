"""Promise: no domain meets another workspace's or the installation's names, and DNS is asked with growing pauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.domains import rules
from pkg.domains.names import parse_domain
from pkg.domains.rules import Counts, InstallationNames, check_counts, check_name, collide, covers, wildcards_above
from pkg.errors import InvalidArgument, ResourceExhausted

INSTALLATION = InstallationNames("apps.example.com", "deploy.example.com")
LABELS = st.sampled_from("abc")
HOSTNAMES = st.builds(
    lambda wildcard, labels: wildcard + ".".join([*labels, "example"]),
    st.sampled_from(["", "*."]),
    st.lists(LABELS, min_size=1, max_size=4),
)


@pytest.mark.parametrize(
    "typed",
    ["apps.example.com", "x.apps.example.com", "*.apps.example.com", "deploy.example.com", "*.example.com"],
)
def test_names_of_the_installation_are_refused(typed: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_name(parse_domain(typed), INSTALLATION, wildcard_refusal="")
    assert refused.value.code == "domain.reserved"


@pytest.mark.parametrize("typed", ["example.com", "www.example.com", "myapps.example.com", "*.shop.example.com"])
def test_names_beside_it_are_not(typed: str) -> None:
    check_name(parse_domain(typed), INSTALLATION, wildcard_refusal="")


def test_a_wildcard_needs_an_issuer() -> None:
    with pytest.raises(InvalidArgument, match="there is no DNS-01; add the names") as refused:
        check_name(parse_domain("*.shop.example.net"), INSTALLATION, wildcard_refusal="there is no DNS-01")
    assert refused.value.code == "domain.wildcard"
    check_name(parse_domain("shop.example.net"), INSTALLATION, wildcard_refusal="there is no DNS-01")


def test_a_name_must_leave_room_for_its_proof() -> None:
    longest = ".".join(["a" * 59] * 4) + ".example"
    with pytest.raises(InvalidArgument, match="leaves no room for _sealift-challenge"):
        check_name(parse_domain(longest), INSTALLATION, wildcard_refusal="")


@given(HOSTNAMES, HOSTNAMES)
def test_colliding_is_symmetric_and_found_by_the_wildcards_above(one: str, other: str) -> None:
    """What the statement looks for is exactly what collides."""
    assert collide(one, other) == collide(other, one)
    assert covers(one, other) == (one in wildcards_above(other))
    if not one.startswith("*") and not other.startswith("*"):
        assert collide(one, other) == (one == other)


def test_a_wildcard_covers_every_depth() -> None:
    """As the ingress does: it hands all names below to the route of the wildcard."""
    assert covers("*.example.net", "a.b.example.net")
    assert covers("*.example.net", "*.b.example.net")
    assert not covers("*.example.net", "example.net")
    assert not covers("*.example.net", "notexample.net")


def test_tokens_are_bound_to_the_workspace() -> None:
    """Another workspace needs another record; a wildcard and its base share one; adding again needs no new one."""
    key = b"k" * 32
    base, wildcard = parse_domain("shop.example.net"), parse_domain("*.shop.example.net")
    assert rules.token_of(key, "ws_1", base) == rules.token_of(key, "ws_1", wildcard)
    assert rules.token_of(key, "ws_1", base) != rules.token_of(key, "ws_2", base)
    assert rules.token_of(key, "ws_1", base) != rules.token_of(b"o" * 32, "ws_1", base)
    assert rules.challenge_name(wildcard) == "_sealift-challenge.shop.example.net"


@pytest.mark.parametrize(
    ("counts", "named"),
    [
        (Counts(rules.MAX_PER_ENVIRONMENT, 0, 0), "environment"),
        (Counts(0, rules.MAX_PER_PROJECT, 0), "project"),
        (Counts(0, 0, rules.MAX_PER_WORKSPACE), "workspace"),
    ],
)
def test_limits_are_named(counts: Counts, named: str) -> None:
    with pytest.raises(ResourceExhausted, match=f"This {named} has"):
        check_counts(counts)
    check_counts(Counts(rules.MAX_PER_ENVIRONMENT - 1, rules.MAX_PER_PROJECT - 1, rules.MAX_PER_WORKSPACE - 1))


@given(st.booleans(), st.booleans(), st.integers(0, 2 * rules.GIVE_UP_AFTER_MS), st.integers(0, 10**12))
def test_pauses_grow_within_bounds(is_active: bool, is_right: bool, age: int, since: int) -> None:
    """Never in the past, never shorter for a longer wait, never without end for what is not proven."""
    now = since + age
    at = rules.next_check_at(is_active=is_active, is_right=is_right, since=since, now=now)
    later = rules.next_check_at(is_active=is_active, is_right=is_right, since=since, now=now + 60_000)
    if at is None:
        assert not is_active
        assert age >= rules.GIVE_UP_AFTER_MS
        assert later is None
        return
    assert rules.SOONEST_CHECK_MS <= at - now <= rules.ACTIVE_CHECK_MS
    assert later is None or later - (now + 60_000) >= at - now


def test_a_clock_that_was_set_back_delays_nothing() -> None:
    assert rules.next_check_at(is_active=False, is_right=False, since=10**12, now=0) == rules.SOONEST_CHECK_MS
