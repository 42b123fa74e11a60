"""Promise: a region's version never goes back, and no vote ends before its replica could have left service."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pkg.regions.votes import (
    CONTACT_TIMEOUT_S,
    SHARED_HEARTBEAT_INTERVAL_S,
    VOTE_EXPIRES_MS,
    KraneReplica,
    agreed_version,
    has_caught_up,
    has_released,
)

BEGAN = 1_000_000
TIMEOUT_MS = CONTACT_TIMEOUT_S * 1000
ONE = KraneReplica("eu", "a", "k", True, True, 5, BEGAN, None, BEGAN)


def test_the_slowest_counted_replica_decides() -> None:
    slow, new = replace(ONE, applied_version=3), replace(ONE, applied_version=1, is_counted=False)
    assert agreed_version([ONE, slow, new]) == 3
    assert agreed_version([new]) is None


def test_a_replica_counts_once_it_has_caught_up() -> None:
    assert not has_caught_up(4, 5, is_shared=True)
    assert has_caught_up(5, 5, is_shared=True)
    assert has_caught_up(4, 5, is_shared=False), "the only one of its region"


def test_a_deployment_is_released_by_who_has_seen_its_routes_go() -> None:
    assert has_released(ONE, "dep_x", 5)
    assert not has_released(ONE, "dep_x", 6)
    assert not has_released(replace(ONE, still_served_json=["dep_x"]), "dep_x", 5)


def test_contact_is_unbroken_while_the_others_can_see_it() -> None:
    since = ONE.announced(BEGAN + 1, is_announced=True)
    assert since == BEGAN + 1
    known = replace(ONE, announced_since=since)
    assert known.announced(BEGAN + TIMEOUT_MS, is_announced=True) == since
    assert known.announced(BEGAN + TIMEOUT_MS + 1, is_announced=True) == BEGAN + TIMEOUT_MS + 1
    assert known.announced(BEGAN - 1, is_announced=True) == BEGAN - 1, "the clock was set back"
    assert known.announced(BEGAN + 1, is_announced=False) is None


# what happens to two replicas: how long after the last event, to which of them, and whether the other can see it
events = st.lists(
    st.tuples(st.integers(0, 4_000) | st.integers(-40_000, 40_000), st.booleans(), st.booleans()), max_size=60
)


@given(events)
def test_no_vote_ends_without_the_time_to_leave_service(history: list[tuple[int, bool, bool]]) -> None:
    """While a vote runs out, the other replica's contacts are visible, and never further apart than the timeout."""
    now = BEGAN
    replicas = {True: ONE, False: replace(ONE, replica_id="b")}
    visible: dict[bool, list[int]] = {True: [], False: []}
    for pause, who, is_announced in history:
        now += pause
        since = replicas[who].announced(now, is_announced=is_announced)
        replicas[who] = replace(replicas[who], last_contact_at=now, announced_since=since)
        run = visible[who]
        if not is_announced or (run and not 0 <= now - run[-1] <= TIMEOUT_MS):
            run.clear()
        if is_announced:
            run.append(now)
        other = replicas[not who]
        if since is not None and other.has_expired(since, now):
            assert now - run[0] >= VOTE_EXPIRES_MS
            assert now - other.last_contact_at >= VOTE_EXPIRES_MS


def test_a_vote_ends_in_time() -> None:
    """A replica that never answers again is not waited for longer than that."""
    now, one, dead = BEGAN, ONE, replace(ONE, replica_id="b")
    while not (one.announced_since is not None and dead.has_expired(one.announced_since, now)):
        now += SHARED_HEARTBEAT_INTERVAL_S * 1000
        one = replace(one, last_contact_at=now, announced_since=one.announced(now, is_announced=True))
    assert now - BEGAN <= VOTE_EXPIRES_MS + 2 * SHARED_HEARTBEAT_INTERVAL_S * 1000
