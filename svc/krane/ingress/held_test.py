from hypothesis import given
from hypothesis import strategies as st

from svc.krane.ingress.held import HeldAddresses

NAMES = st.sampled_from(["a", "b"])
ADDRESSES = st.frozensets(st.sampled_from(["1", "2", "3"]))


def test_nothing_is_known_at_first() -> None:
    """An earlier krane may have told Envoy of any address."""
    book = HeldAddresses(1)
    book.sent("a", frozenset({"1"}))
    assert book.held(0) is None
    book.complete(0)
    assert book.held(0) == frozenset({"1"})


def test_what_left_is_held_for_the_drain() -> None:
    """Envoy's threads hear of a change one after the other."""
    book = HeldAddresses(1)
    book.remembered({"a": ["1"], "b": ["2"]}, ["3"])
    book.acked("a", frozenset(), 10)
    assert book.held(10.9) == frozenset({"1", "2", "3"})
    assert book.held(11.1) == frozenset({"2", "3"})
    book.complete(11.5)
    book.keep_only(frozenset(), 12)
    assert book.held(12.6) == frozenset({"2"})
    assert book.held(13.1) == frozenset()


@given(st.lists(st.tuples(NAMES, ADDRESSES, st.booleans()), max_size=12))
def test_what_was_sent_is_held_until_something_else_was_acknowledged(
    answers: list[tuple[str, frozenset[str], bool]],
) -> None:
    """An address is never free while an acknowledged or open answer names it."""
    book = HeldAddresses(0.5)
    book.remembered({})
    expected: dict[str, frozenset[str]] = {}
    for now, (name, addresses, is_acked) in enumerate(answers):
        book.sent(name, addresses)
        expected[name] = addresses if is_acked else expected.get(name, frozenset()) | addresses
        if is_acked:
            book.acked(name, addresses, now)
        held = book.held(now)
        assert held is not None
        assert held >= frozenset().union(*expected.values())
    assert book.held(len(answers)) == frozenset().union(*expected.values())
