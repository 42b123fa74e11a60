"""No secret leaves in the output of a builder."""

import base64
import html
import json
import shlex
import time
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.output.redact import MASK, MAX_LINES, Redactor
from pkg.output.variables import secret_values

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
        ("KEY_slk_abc123", f"KEY_{MASK}"),
        ("HTTPS://s3.test/b/k?X-Amz-Signature=ab: 403", f"HTTPS://s3.test/b/k?{MASK} 403"),
        ("git clone https://user:p@ss@github.test/x.git", f"git clone https://{MASK}@github.test/x.git"),
        ("Authorization: Basic dXNlcjpodW50ZXIy", f"Authorization: Basic {MASK}"),
        ("uses basic authentication", "uses basic authentication"),
        ("https://example.test/path is fine", "https://example.test/path is fine"),
        ("bearer of bad news", "bearer of bad news"),
        ("mail me@example.test, token: short", "mail me@example.test, token: short"),
    ],
)
def test_shapes(text: str, redacted: str) -> None:
    """What looks like a secret is masked although it is not a known value; what does not stays."""
    assert Redactor().text(text) == redacted


@given(st.binary(min_size=4, max_size=40), st.binary(max_size=60), st.binary(max_size=60))
def test_no_value_survives(secret: bytes, before: bytes, after: bytes) -> None:
    """Wherever it stands, the value is gone (unless the mask itself spells it)."""
    redactor = Redactor([secret])
    value = secret.strip()
    if len(value) >= 4:
        assert value not in redactor.data(before + secret + after).replace(MASK.encode(), b"\0")


VALUE = "p@ss/w\"rd's <key> \\1"


@pytest.mark.parametrize(
    "printed",
    [
        json.dumps({"k": VALUE}),
        json.dumps(json.dumps({"k": VALUE})),
        repr(VALUE),
        shlex.quote(VALUE),
        "p%40ss%2Fw%22rd%27s%20%3Ckey%3E%20%5C1",
        quote_plus(VALUE),
        html.escape(VALUE),
        base64.urlsafe_b64encode(VALUE.encode()).decode().rstrip("="),
        "Basic " + base64.b64encode(f"user:{VALUE}".encode()).decode(),
        "Basic " + base64.b64encode(f"us:{VALUE}!".encode()).decode(),
        VALUE.encode().hex(),
    ],
)
def test_encoded_values(printed: str) -> None:
    """A value is masked as JSON, Python, shells, URLs, HTML, hex and base64 write it, at any place within base64."""
    shown = Redactor([VALUE.encode()]).text(printed)
    assert MASK in shown
    assert len(shown) <= len(printed) - len(VALUE) // 2


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("postgres://u:s3cr3t@db/x", "s3cr3t"),
        ("postgres://u:s3c%2Fr3t@db/x", "s3c/r3t"),
        ("postgres://u:s3c/r@3t@db/x", "s3c/r@3t"),
        ('{"type": "service_account", "private_key": "-----BEGIN-----\\nMIIabcdefgh\\n"}', "MIIabcdefgh"),
    ],
)
def test_what_is_secret_inside_a_value(value: str, part: str) -> None:
    """The password of a URL and the keys in a JSON document are masked where they stand alone."""
    assert Redactor([value.encode()]).text(f"login with {part} refused") == f"login with {MASK} refused"


def test_values_over_lines() -> None:
    """A block is free of values of several lines, and of long ones that a printer broke over lines."""
    key = "-----BEGIN KEY-----\nab\nMIIabcdefgh\n-----END KEY-----"
    redactor = Redactor([key.encode(), b"0123456789abcdefghij"])
    assert redactor.block(f"key: {key}\nend") == f"key: {MASK}\nend"
    assert redactor.block("a 0123456789\n   abcdefghij b\r\nc") == f"a {MASK} b\r\nc"


def test_coloured_values() -> None:
    """Promise: a terminal's escape codes inside a value, as of `grep --color`, hide nothing of it."""
    redactor = Redactor([SECRET])
    for code in ("\x1b[01;31m", "\x1b[0m\x1b[K", "\x1b]8;;x\x07"):
        shown = redactor.text(f"a {code}hunter2{code}-hunter2{code} b")
        assert "hunter2" not in shown
        assert shown.startswith("a ")
        assert shown.endswith(" b")


@pytest.mark.parametrize("columns", [76, 64])
@pytest.mark.parametrize("value", [bytes(range(33, 120)), b"token-" * 30 + b"\n"])
def test_values_that_a_tool_encodes_in_several_lines(columns: int, value: bytes) -> None:
    """Promise: of what `base64`, `openssl base64` and `xxd -p` print of a long value, no line is shown."""
    redactor, encoded = Redactor([value]), base64.b64encode(value).decode()
    for line in (encoded[:columns], encoded[columns : 2 * columns], value.hex()[:60], value.hex()[60:120]):
        assert redactor.text(line).replace(MASK, "").strip("=") == ""


def test_the_lines_of_huge_secrets() -> None:
    """Promise: however many secrets and lines there are, a line of output is searched within some milliseconds."""
    secrets = [b"\n".join(b"%07x-%02x" % (line, number) for line in range(5000)) for number in range(8)]
    redactor = Redactor(secrets)
    assert len(redactor._needles) <= MAX_LINES + 8 * 40
    assert redactor.block(secrets[0].decode()) == MASK


@pytest.mark.parametrize("unit", ["http://", "a://", "a-", "token=", "x?", "://a:", "slk_", "! ", "bearer "])
def test_no_text_takes_long(unit: str) -> None:
    """Promise: a tenant's line can't hold up the process that redacts it: twice the text takes twice the time."""
    texts = [unit * (size // len(unit)) + tail for size in (1 << 18, 1 << 20) for tail in ("", " ://", "@", "?")]
    begin = time.process_time()
    for text in texts:
        Redactor([SECRET]).text(text)
    assert time.process_time() - begin < 20  # quadratic: hours


def test_which_variables_are_secrets() -> None:
    """Values that would blank a whole log and reveal nothing stay; so do those that were set as plain."""
    variables = {
        "A": "production",
        "B": "3000",
        "C": "on",
        "D": "hunter2",
        "E": "123456",
        "F": "seen-by-all",
        "G": "TRUE",
    }
    assert list(secret_values(variables, {"F"})) == [b"hunter2", b"123456"]


@given(st.text(min_size=4, max_size=30), st.text(max_size=20))
def test_no_value_survives_in_a_block(value: str, around: str) -> None:
    """Wherever it stands among lines, the value is gone (unless the mask or what is around spells it)."""
    if len(value.strip().encode(errors="replace")) < 4 or value in around or value in MASK * 3:
        return
    shown = Redactor([value.encode(errors="replace")]).block(f"{around}\n{value}\n{around}")
    assert value not in shown.replace(MASK, "\0")
