import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.errors import InvalidArgument
from pkg.hostnames import is_generated, is_reserved, label_of, parse_hostname

APEX = "sealift.localhost"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Example.COM", "example.com"),
     ("example.com.", "example.com"), ("a", "a"), ("xn--bcher-kva.ch", "xn--bcher-kva.ch"),
     ("1.example", "1.example"), (f"{'a' * 63}.b", f"{'a' * 63}.b")],
)  # fmt: skip
def test_accepts_and_normalises(text: str, expected: str) -> None:
    """Promise: one spelling per hostname reaches the database."""
    assert parse_hostname(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", ".a", "-a.b", "a-.b", "a_b.c", "a b.c", "*.example.com", "example.com:80", "http://example.com",
     f"{'a' * 64}.b", ".".join(["a" * 60] * 5), "bücher.ch", "127.0.0.1", "127.1", "0x7f.1", "1234", "::1", "a.b..",
     "a\n.b", "a.b\n", "a" * 10_000],
)  # fmt: skip
def test_refuses_what_is_no_hostname(text: str) -> None:
    """Promise: what is not a plain hostname is refused with the field and the reason."""
    with pytest.raises(InvalidArgument) as caught:
        parse_hostname(text, field="domain")
    assert caught.value.field == "domain"
    assert len(caught.value.message) < 1000


@given(st.text(max_size=300))
def test_parse_is_idempotent_or_refuses(text: str) -> None:
    """Promise: no input breaks the check, and what it gives is in its final form."""
    try:
        parsed = parse_hostname(text)
    except InvalidArgument:
        return
    assert parse_hostname(parsed) == parsed
    assert len(parsed) <= 253


def test_generated_hostnames_are_one_label_below_the_apex() -> None:
    """Promise: a user's domain is never taken for a generated hostname, nor the other way round."""
    assert label_of(f"hello.{APEX}", APEX) == "hello"
    assert label_of(f"a.hello.{APEX}", APEX) is None
    assert label_of(APEX, APEX) is None
    assert label_of(f"evil{APEX}", APEX) is None
    assert not is_generated("hello.example.com", APEX)
    assert is_generated(f"hello.{APEX}", APEX)
    assert is_reserved(APEX, APEX)
    assert is_reserved(f"a.b.{APEX}", APEX)
    assert not is_reserved(f"evil{APEX}", APEX)
