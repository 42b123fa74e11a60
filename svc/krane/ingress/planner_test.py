from hypothesis import given
from hypothesis import strategies as st

from svc.krane.ingress.planner import choose, difference, plan, restrict

tables = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["d1", "d2", "d3"]))


@given(st.sampled_from(["d1", "d2"]), st.sampled_from([None, "d1", "d2"]), st.booleans(), st.booleans(), st.booleans())
def test_a_host_never_moves_from_a_working_version_to_a_broken_one(
    wanted: str, served: str | None, usable: bool, known: bool, alive: bool
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
def test_the_plan_holds_only_wanted_hosts(wanted: dict[str, str], served: dict[str, str], healthy: set[str]) -> None:
    """A removed route is gone, and with every target healthy the plan is the wish."""

    def run(refused: bool) -> dict[str, str]:
        up = healthy.__contains__
        return plan(wanted, served, usable=up, known=up, alive=up, refused=lambda _h, _d: refused)

    assert run(False).keys() <= wanted.keys()
    assert run(True) == {h: served[h] for h in wanted if h in served}
    if healthy == {"d1", "d2", "d3"}:
        assert run(False) == wanted


@given(tables, tables, st.integers(0, 9))
def test_restrict_changes_at_most_so_many_hosts(table: dict[str, str], base: dict[str, str], limit: int) -> None:
    """The search for a bad route narrows down."""
    result = restrict(table, base, limit)
    changed = difference(result, base)
    assert len(changed) <= limit
    assert all(result.get(h) == table.get(h) for h in changed)
    assert result == table or len(changed) == limit
