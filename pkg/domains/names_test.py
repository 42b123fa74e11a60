"""Promise: whatever a user types becomes one domain that DNS can have, or is refused with the reason."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pkg.domains.names import parse_domain, unicode_of
from pkg.errors import InvalidArgument
from pkg.hostnames import MAX_HOSTNAME_OCTETS

LABELS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("typed", "hostname", "registrable"),
    [
        ("www.Example.COM", "www.example.com", "example.com"),
        ("www.example.com.", "www.example.com", "example.com"),
        (" example.com ", "example.com", "example.com"),
        ("bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("XN--bcher-KVA.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("straße.de", "xn--strae-oqa.de", "xn--strae-oqa.de"),
        ("日本語。jp", "xn--wgv71a119e.jp", "xn--wgv71a119e.jp"),
        ("\uff57\uff57\uff57\uff0eexample\uff0ecom", "www.example.com", "example.com"),
        ("*.shop.example.co.uk", "*.shop.example.co.uk", "example.co.uk"),
        ("me.github.io", "me.github.io", "me.github.io"),
        ("app.mine.localhost", "app.mine.localhost", "mine.localhost"),
    ],
)
def test_one_spelling_of_each(typed: str, hostname: str, registrable: str) -> None:
    name = parse_domain(typed)
    assert (name.hostname, name.registrable) == (hostname, registrable)
    assert parse_domain(name.hostname) == name == parse_domain(name.unicode)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "is required"),
        ("https://www.example.com/shop", "URL with the scheme 'https': give the domain alone, 'www.example.com'"),
        ("www.example.com/shop", "has a path; a domain stands for all paths: give the domain alone, 'www.example.com'"),
        ("www.example.com:8443", "has a port; a domain is served on the ingress's: give the domain alone, 'www.ex"),
        ("me@example.com", "as mail addresses do: give the domain alone, 'example.com'"),
        ("192.0.2.7", "is an IP address"),
        ("[2001:db8::1]", "is an IP address"),
        ("2001:db8::1", "is an IP address"),
        ("127.1", "is an IP address"),
        ("\uff11\uff12\uff17.0.0.1", "is an IP address"),
        ("a b.example", "holds a space"),
        ("a\nb.example", "holds a space or a control character"),
        ("www.*.example.com", "a wildcard is the whole first label"),
        ("w*.example.com", "a wildcard is the whole first label"),
        ("*", "a wildcard is the whole first label"),
        ("*.", "empty label"),
        ("*.com", "'*.com' is a public suffix"),
        ("com", "is a public suffix, below which anybody registers names: add a name below it, such as www.com"),
        ("co.uk", "is a public suffix"),
        ("github.io", "is a public suffix"),
        ("localhost", "is a public suffix"),
        (".example.com", "empty label"),
        ("www..example.com", "empty label"),
        ("_dmarc.example.com", "has an underscore"),
        ("-a.example.com", "is not a domain"),
        ("xn--a.example.com", "is not a domain"),
        (f"{'a' * 64}.example.com", "is not a domain"),
        (".".join(["a" * 60] * 5) + ".example", "Domain too long"),
        ("x" * 40_000, "at most 253 octets"),
        ("e\u0301" * 400 + ".example", "is not a domain"),
        ("\u202eabc.example", "is not a domain"),
        ("\ud800.example", "is not a domain"),
    ],
)
def test_refused_with_the_reason(typed: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_domain(typed)
    assert reason in refused.value.message
    assert refused.value.field == "hostname"
    assert len(refused.value.message) < 500


@given(st.text(max_size=120))
@example("。")
@example("a.\u3002b")
def test_any_text_is_a_domain_or_refused(typed: str) -> None:
    """What is accepted is lower-case ASCII, within the limits of DNS, and means the same when it is typed again."""
    try:
        name = parse_domain(typed)
    except InvalidArgument:
        return
    assert name.hostname.isascii()
    assert name.hostname == name.hostname.lower()
    assert len(name.hostname) <= MAX_HOSTNAME_OCTETS
    assert all(1 <= len(label) <= 63 for label in name.base.split("."))
    assert name.base == name.registrable or name.base.endswith(f".{name.registrable}")
    assert parse_domain(name.hostname) == name


@given(st.lists(LABELS, min_size=2, max_size=6))
def test_dots_and_case_do_not_matter(labels: list[str]) -> None:
    typed = ".".join(labels) + ".example"
    assert parse_domain(typed) == parse_domain(typed.upper() + ".")


def test_what_is_no_international_name_stays() -> None:
    """Names that were accepted by an older list are still shown."""
    assert unicode_of("xn--zz.example") == "xn--zz.example"
