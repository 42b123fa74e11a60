from hypothesis import given
from hypothesis import strategies as st

from svc.krane.ingress.addresses_in_use import AddressesInUse

NAMES = st.sampled_from(["a", "b"])
ADDRESSES = st.frozensets(st.sampled_from(["1", "2", "3"]))


def test_nothing_is_known_at_first() -> None:
    """An earlier krane may have sent Envoy any address."""
    addresses_in_use = AddressesInUse(1)
    addresses_in_use.sent("a", frozenset({"1"}))
    assert addresses_in_use.in_use(0) is None
    addresses_in_use.complete(0)
    assert addresses_in_use.in_use(0) == frozenset({"1"})


def test_what_left_is_held_for_the_drain() -> None:
    """Envoy's threads hear of a change one after the other."""
    addresses_in_use = AddressesInUse(1)
    addresses_in_use.remembered({"a": ["1"], "b": ["2"]}, ["3"])
    addresses_in_use.acked("a", frozenset(), 10)
    assert addresses_in_use.in_use(10.9) == frozenset({"1", "2", "3"})
    assert addresses_in_use.in_use(11.1) == frozenset({"2", "3"})
    addresses_in_use.complete(11.5)
    addresses_in_use.keep_only(frozenset(), 12)
    assert addresses_in_use.in_use(12.6) == frozenset({"2"})
    assert addresses_in_use.in_use(13.1) == frozenset()


@given(st.lists(st.tuples(NAMES, ADDRESSES, st.booleans()), max_size=12))
def test_what_was_sent_is_held_until_something_else_was_acknowledged(
    answers: list[tuple[str, frozenset[str], bool]],
) -> None:
    """An address is never free while an acknowledged or open answer names it."""
    addresses_in_use = AddressesInUse(0.5)
    addresses_in_use.remembered({})
    expected: dict[str, frozenset[str]] = {}
    for now, (name, addresses, is_acked) in enumerate(answers):
        addresses_in_use.sent(name, addresses)
        expected[name] = addresses if is_acked else expected.get(name, frozenset()) | addresses
        if is_acked:
            addresses_in_use.acked(name, addresses, now)
        held = addresses_in_use.in_use(now)
        assert held is not None
        assert held >= frozenset().union(*expected.values())
    assert addresses_in_use.in_use(len(answers)) == frozenset().union(*expected.values())
