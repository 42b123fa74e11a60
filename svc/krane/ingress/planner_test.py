from hypothesis import given
from hypothesis import strategies as st

from pkg.desired.route import DeploymentTarget, Route
from svc.krane.ingress.planner import choose, difference, plan, restrict

DEPLOYMENTS = ("d1", "d2", "d3")


def shared(hostname: str, first: str, second: str, weight: int) -> Route:
    """The ordinary route for a weight of 100, else one that two deployments share."""
    if weight == 100:
        return Route.to(hostname, first)
    return Route(hostname, (DeploymentTarget(first, weight), DeploymentTarget(second, 100 - weight)))


def route_of(hostname: str) -> st.SearchStrategy[Route]:
    one = st.sampled_from(DEPLOYMENTS)
    return st.builds(shared, st.just(hostname), one, one, st.sampled_from([100, 90, 50]))


tables = st.lists(st.sampled_from("abcdefgh"), unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: route_of(name) for name in names})
)


@given(route_of("a"), st.none() | route_of("a"), st.booleans(), st.booleans(), st.booleans())
def test_a_host_never_moves_from_a_working_version_to_a_broken_one(
    wanted: Route, served: Route | None, usable: bool, known: bool, alive: bool
) -> None:
    """A failed deploy never changes what is served."""
    after = choose(wanted, served, usable=usable, known=known, alive=alive)
    if served is not None and served != wanted and alive and not usable:
        assert after == served
    if usable:
        assert after == wanted
    if served is not None:
        assert after is not None
    if after is not None and after != served:
        assert usable or known


@given(tables, tables, st.sets(st.sampled_from(["d1", "d2", "d3"])))
def test_the_plan_holds_only_wanted_hosts(
    wanted: dict[str, Route], served: dict[str, Route], healthy: set[str]
) -> None:
    """A removed route is gone, and with every target healthy the plan is the wish."""

    def run(refused: bool) -> dict[str, Route]:
        up = healthy.__contains__
        return plan(wanted, served, usable=up, known=up, alive=up, refused=lambda _: refused)

    assert run(False).keys() <= wanted.keys()
    assert run(True) == {h: served[h] for h in wanted if h in served}
    if healthy == {"d1", "d2", "d3"}:
        assert run(False) == wanted


def test_a_share_waits_for_all_that_share() -> None:
    """A deployment that is not up gets no share of the requests, and takes none from what is served."""
    before, after = {"a": shared("a", "d1", "", 100)}, {"a": shared("a", "d1", "d2", 90)}

    def run(*healthy: str) -> dict[str, Route]:
        up = set(healthy).__contains__
        return plan(after, before, usable=up, known=up, alive=up, refused=lambda _: False)

    assert run("d1") == before
    assert run("d1", "d2") == after


@given(tables, tables, st.integers(0, 9))
def test_restrict_changes_at_most_so_many_hosts(table: dict[str, Route], base: dict[str, Route], limit: int) -> None:
    """The search for a bad route narrows down."""
    result = restrict(table, base, limit)
    changed = difference(result, base)
    assert len(changed) <= limit
    assert all(result.get(h) == table.get(h) for h in changed)
    assert result == table or len(changed) == limit
