"""No secret leaves by a builder's words."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.buildkit.redact import MASK, Redactor

SECRET = b"hunter2-hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "value hunter2-hunter2 here",
        f"b64 {base64.b64encode(SECRET).decode()}",
        "twice hunter2-hunter2hunter2-hunter2",
        "url https://x.test/?q=hunter2-hunter2",
    ],
)
def test_known_values(text: str) -> None:
    """A value is masked as it is, repeated, in base64 and inside a URL."""
    redacted = Redactor([SECRET]).text(text)
    assert MASK in redacted
    assert "hunter2" not in redacted
    assert base64.b64encode(SECRET).decode() not in redacted


def test_forms_of_a_file() -> None:
    """A key file is masked line by line, with and without its last newline; a value with odd characters as in URLs."""
    redactor = Redactor([b"-----BEGIN KEY-----\nMIIabcdefgh\n-----END KEY-----\n", b"p@ss/word!\n"])
    assert redactor.text("  MIIabcdefgh") == f"  {MASK}"
    assert redactor.text("p%40ss%2Fword%21") == MASK
    assert redactor.text("p@ss/word!") == MASK


def test_short_values_do_not_blank_ordinary_text() -> None:
    """A secret of three bytes is no secret; everything else stays readable."""
    assert Redactor([b"abc", b"", b"  \n"]).text("abcdef") == "abcdef"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("GET https://s3.test/b/k?X-Amz-Signature=ab&x=1: 403", f"GET https://s3.test/b/k?{MASK} 403"),
        ("see 'http://h/p?sig=1' please", f"see 'http://h/p?{MASK}' please"),
        ("git clone https://user:token@github.test/x.git", f"git clone https://{MASK}@github.test/x.git"),
        ("postgres://u:p@db/x", f"postgres://{MASK}@db/x"),
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", f"Authorization: Bearer {MASK}"),
        ("key slk_abc123", f"key {MASK}"),
        ("https://example.test/path is fine", "https://example.test/path is fine"),
        ("bearer of bad news", "bearer of bad news"),
        ("mail me@example.test, token: short", "mail me@example.test, token: short"),
    ],
)
def test_shapes(text: str, redacted: str) -> None:
    """What looks like a secret is masked although nobody told us; what does not stays."""
    assert Redactor().text(text) == redacted


@given(st.binary(min_size=4, max_size=40), st.binary(max_size=60), st.binary(max_size=60))
def test_no_value_survives(secret: bytes, before: bytes, after: bytes) -> None:
    """Wherever it stands, the value is gone (unless the mask itself spells it)."""
    redactor = Redactor([secret])
    value = secret.strip()
    if len(value) >= 4:
        assert value not in redactor.data(before + secret + after).replace(MASK.encode(), b"\0")
