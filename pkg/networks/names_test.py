from hypothesis import given
from hypothesis import strategies as st

from pkg.networks import bridge_device, engine_network


@given(st.text(min_size=1, max_size=64), st.text(min_size=1, max_size=64))
def test_a_device_name_fits_the_kernel_and_is_of_one_network(one: str, other: str) -> None:
    """Packet rules of one installation never match the instances of another."""
    assert len(bridge_device(one)) == 15
    assert bridge_device(one).isascii()
    assert bridge_device(one).isalnum()
    assert (bridge_device(one) == bridge_device(other)) is (one == other)


def test_the_names_stay() -> None:
    """A release that named them otherwise would leave rules and instances apart."""
    assert engine_network("sealift") == "sealift-v2"
    assert bridge_device("sealift") == "slt4082e1ffc626"
