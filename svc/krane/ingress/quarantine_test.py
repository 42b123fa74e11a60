from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from pkg.desired.route import Route
from svc.krane.ingress.planner import difference, restrict
from svc.krane.ingress.quarantine import REASON_MAX, Quarantine, reason
from svc.krane.testing.routes import routes_to


def converge(wanted: Mapping[str, Route], bad: set[str], served: dict[str, Route], clue: str) -> tuple[Quarantine, int]:
    """An Envoy that refuses a table with any `bad` host that it does not serve yet; `clue` may name the host."""
    quarantine = Quarantine()
    for sent in range(1000):
        table = {h: served.get(h) if quarantine.holds(route) else route for h, route in wanted.items()}
        goal = {h: route for h, route in table.items() if route is not None}
        if quarantine.limit is not None:
            if len(difference(goal, served)) <= quarantine.limit:
                quarantine.limit = None
            else:
                goal = restrict(goal, served, quarantine.limit)
        if goal == served:
            return quarantine, sent
        order = list(goal)
        at_fault = [h for h in order if h in bad and served.get(h) != goal[h]]
        if at_fault:
            text = clue.format(host=at_fault[0], position=order.index(at_fault[0]))
            quarantine.refused(difference(goal, served), goal, order, text)
        else:
            served.clear()
            served.update(goal)
            quarantine.accepted()
    raise AssertionError("never settled")


hosts = st.sets(st.from_regex(r"[a-z]{1,6}\.x", fullmatch=True), max_size=40)
clues = st.sampled_from(
    ["no clue", "Duplicate entry of domain {host} in route sealift", "VirtualHosts[{position}]: bad"]
)


@given(good=hosts, bad=hosts, before=hosts, clue=clues)
def test_every_good_host_is_served_and_every_bad_one_named(
    good: set[str], bad: set[str], before: set[str], clue: str
) -> None:
    """One bad route never holds back the others, whatever Envoy says about it."""
    good -= bad
    served = routes_to(dict.fromkeys(before - bad, "dep_old"))
    quarantine, _ = converge(routes_to(dict.fromkeys(good | bad, "dep_new")), bad, served, clue)
    assert served == routes_to(dict.fromkeys(good, "dep_new"))
    assert quarantine.refusals.keys() == bad


def test_one_bad_host_of_a_thousand_is_found_in_a_few_rounds() -> None:
    """The search is by halves, so it stays short."""
    wanted = routes_to({f"h{n}.x": "dep_1" for n in range(1000)})
    served: dict[str, Route] = {}
    _, rounds = converge(wanted, {"h777.x"}, served, "no clue")
    assert len(served) == 999
    assert rounds < 50


def test_a_host_leaves_quarantine_with_its_target() -> None:
    """A refusal is about one target: another one gets its chance."""
    quarantine = Quarantine()
    quarantine.refused(["a.x"], routes_to({"a.x": "dep_1"}), ["a.x"], "bad")
    assert quarantine.holds(Route.to("a.x", "dep_1"))
    quarantine.keep_only(routes_to({"a.x": "dep_2"}))
    assert not quarantine.refusals


def test_the_reason_is_told_without_the_quoted_resource() -> None:
    """A NACK is readable and small."""
    quote = 'goo.gle/debugonly \nname: "sealift"\nvirtual_hosts {\n}\n'
    assert reason(quote + ": Proto constraint validation failed (x)") == "Proto constraint validation failed (x)"
    assert "cut" in reason(quote)
    assert len(reason("x" * 5000)) == REASON_MAX
