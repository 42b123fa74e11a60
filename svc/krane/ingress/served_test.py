from hypothesis import given
from hypothesis import strategies as st

from pkg.desired.route import Route, deployments_of
from svc.krane.ingress.served import Served
from svc.krane.testing.routes import routes_to

DRAIN_S = 0.5
deployments = ["d1", "d2", "d3"]
steps = st.lists(
    st.tuples(
        st.sampled_from(["accept", "refuse", "lose"]),
        st.dictionaries(st.sampled_from("abc"), st.sampled_from(deployments)),
    ),
    max_size=12,
)


@given(steps)
def test_a_table_that_envoy_may_serve_is_always_listed(history: list[tuple[str, dict[str, str]]]) -> None:
    """Whatever is acknowledged, refused or lost with its stream: no deployment that may get requests is unlisted."""
    served, acked = Served(DRAIN_S), False
    possible: list[dict[str, Route]] = [{}]
    for outcome, targets in history:
        table = routes_to(targets)
        served.sent(table)
        possible.append(table)
        check(served, possible, acked)
        if outcome == "accept":
            served.accepted(0.0)
            possible, acked = [table], True
        elif outcome == "refuse" and possible.index(table) == len(possible) - 1:
            served.refused()
            possible.pop()
        check(served, possible, acked)


def check(served: Served, possible: list[dict[str, Route]], acked: bool) -> None:
    listed = {d for d in deployments if served.lists(d)}
    needed = {d for table in possible for d in deployments_of(table)}
    assert listed >= needed
    if acked:
        assert listed == needed
    else:
        assert listed == set(deployments)


def test_the_drain_starts_with_the_acknowledgement() -> None:
    """Requests under way have `drain_s` from the moment no new ones can follow; coming back ends the drain."""
    served = Served(DRAIN_S)
    served.sent(routes_to({"a": "d1"}))
    served.accepted(10.0)
    served.sent(routes_to({"a": "d2"}))
    served.accepted(11.0)
    assert not served.lists("d1")
    assert served.drain_left_s("d1", 11.25) == 0.25
    assert served.drain_left_s("d1", 11.5) == 0
    assert served.drain_left_s("d2", 11.2) == 0
    served.sent(routes_to({"a": "d1"}))
    served.accepted(11.3)
    assert served.drain_left_s("d1", 11.3) == 0
    assert served.drain_left_s("d2", 11.3) == 0.5
