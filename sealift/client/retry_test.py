"""Waits between tries."""

from hypothesis import given
from hypothesis import strategies as st

from sealift.client.retry import FIRST_CONTACT, ONCE, PATIENT, Retry


@given(st.integers(1, 20), st.floats(0.01, 1), st.floats(1, 4), st.floats(0.5, 10))
def test_bounded(tries: int, first: float, factor: float, most: float) -> None:
    """Promise: there are tries - 1 waits, none negative, none over the maximum."""
    waits = list(Retry(first, factor, most, tries).waits())
    assert len(waits) == tries - 1
    assert all(0 <= wait <= most for wait in waits)


def test_presets() -> None:
    """Promise: ONCE never retries; a server that never answered is given up within 4 s, others after 20 to 40 s."""
    assert not list(ONCE.waits())
    assert sum(FIRST_CONTACT.waits()) < 4
    assert 20 < sum(PATIENT.waits()) < 40
