"""Promise: at no moment do two replicas lead, whatever is slow, lost or paused; and one leads soon after."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from svc.krane.runtime.kubernetes.election import (
    LEASE_DURATION_S,
    RENEW_DEADLINE_S,
    RETRY_INTERVAL_S,
    Election,
    LeaseRecord,
)


@dataclass
class Server:
    """Keeps one Lease; a write that names another version than it has is refused."""

    record: LeaseRecord | None = None
    writes: int = 0

    def write(self, claim: LeaseRecord) -> LeaseRecord | None:
        if claim.version != (self.record.version if self.record else ""):
            return None
        self.writes += 1
        self.record = replace(claim, renewed_at=str(self.writes), version=str(self.writes))
        return self.record


@dataclass
class Candidate:
    """One replica, whose clock is off by `skew`."""

    election: Election
    skew: float
    pending: list[Callable[[float], None]] = field(default_factory=list)

    def now(self, time: float) -> float:
        return time + self.skew


# which candidate, what it does, and how long nothing happens before that
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(
            ["read", "write", "lose the answer", "delay the answer", "take answers", "resign", "be cut off", "restart"]
        ),
        st.floats(0, 3) | st.floats(0, 30),
    ),
    max_size=80,
)


@given(STEPS, st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_there_are_never_two_leaders(steps: list[tuple[int, str, float]], skews: list[float]) -> None:
    server, time, terms = Server(), 0.0, dict[int, tuple[int, int]]()
    candidates = [Candidate(Election(f"k{n}"), skew) for n, skew in enumerate(skews)]
    for step, (number, what, pause) in enumerate(steps):
        time += pause
        one = candidates[number]
        now = one.now(time)
        if what == "restart":
            candidates[number] = Candidate(Election(one.election.identity), one.skew)
        elif what == "read":
            one.election.read(server.record, now)
        elif what == "take answers":
            for answer in one.pending:
                answer(now)
            one.pending.clear()
        elif claim := one.election.claim(now, is_candidate=what not in ("resign", "be cut off")):
            written = server.write(claim)
            if written is not None and what == "delay the answer":
                election = one.election
                one.pending.append(lambda later, w=written, b=now, e=election: e.wrote(w, b, later))  # type: ignore[misc]
            elif written is not None and what not in ("lose the answer", "be cut off"):
                one.election.wrote(written, now, now)
        leading = [(n, c.election.term(c.now(time))) for n, c in enumerate(candidates)]
        leaders = [(n, term) for n, term in leading if term is not None]
        assert len(leaders) <= 1, f"step {step}"
        for n, term in leaders:
            assert terms.setdefault(term, (n, step))[0] == n, "a term has one leader"
            assert term == max(terms), "terms only grow"


def test_a_leader_that_ends_is_replaced_in_time() -> None:
    """Killed: after the Lease's duration; stopped: with the next try."""
    server = Server()
    first, second = Election("a"), Election("b")
    claim = first.claim(0, is_candidate=True)
    assert claim is not None
    written = server.write(claim)
    assert written is not None
    first.wrote(written, 0, 0)
    assert (first.term(0), first.term(RENEW_DEADLINE_S - 0.1), first.term(RENEW_DEADLINE_S)) == (1, 1, None)
    second.read(server.record, 1)
    assert second.is_follower(1)
    assert second.claim(1 + LEASE_DURATION_S - 0.1, is_candidate=True) is None
    assert second.claim(1 + LEASE_DURATION_S, is_candidate=True) is not None
    given_up = first.resignation()
    assert given_up is not None
    server.write(given_up)
    second.read(server.record, 1 + RETRY_INTERVAL_S)
    claim = second.claim(1 + RETRY_INTERVAL_S, is_candidate=True)
    assert claim is not None
    assert (claim.holder, claim.transitions) == ("b", 1)


def test_a_lease_that_was_deleted_does_not_count_from_the_start() -> None:
    """The api refuses reports of an older term: the next one is higher than any that it was told."""
    election = Election("a")
    election.heard_of(7)
    claim = election.claim(0, is_candidate=True)
    assert claim is not None
    assert claim.transitions + 1 == 8
    election.wrote(replace(claim, version="1"), 0, 0)
    election.heard_of(8)
    renewed = election.claim(1, is_candidate=True)
    assert renewed is not None
    assert renewed.transitions + 1 == 8, "its own term"
    election.heard_of(9)
    renewed = election.claim(1, is_candidate=True)
    assert renewed is not None
    assert renewed.transitions + 1 == 10
