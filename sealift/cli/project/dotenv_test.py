"""`.env` files: what they say, and what is refused with its line and without its value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.cli.project.dotenv import parse
from sealift.client.errors import InputError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("\n\n# only a comment\n   # another", {}),
        ("A=1", {"A": "1"}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("A=", {"A": ""}),
        ("A= \nB=2", {"A": "", "B": "2"}),
        ("  A = 1  ", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("export\tA=1", {"A": "1"}),
        ("export=1", {"export": "1"}),
        ("A=1 # comment", {"A": "1"}),
        ("A=1# none", {"A": "1# none"}),
        ("A=#gone", {"A": ""}),
        ("A= #gone", {"A": ""}),
        ("A=http://x/#frag", {"A": "http://x/#frag"}),
        ("A=a b c", {"A": "a b c"}),
        ("A=a=b==", {"A": "a=b=="}),
        ('A=it\'s "so"', {"A": 'it\'s "so"'}),
        ("A=pa$$word$1", {"A": "pa$$word$1"}),
        ("A=C:\\new\\table", {"A": "C:\\new\\table"}),
        ("A='x # y'", {"A": "x # y"}),
        ("A='x' # y", {"A": "x"}),
        ("A=''", {"A": ""}),
        ("A='${B} $(c) \\n'", {"A": "${B} $(c) \\n"}),
        ('A="x # y"', {"A": "x # y"}),
        ('A=""', {"A": ""}),
        ('A="a\\nb\\t\\"c\\" \\\\ \\$ \\d"', {"A": 'a\nb\t"c" \\ $ \\d'}),
        ('A="\\${B}"', {"A": "${B}"}),
        ('A="one\ntwo"\nB=3', {"A": "one\ntwo", "B": "3"}),
        ("KEY='-----BEGIN\nabc=\n-----END'\nB=3", {"KEY": "-----BEGIN\nabc=\n-----END", "B": "3"}),
        ("A=1\r\nB='x\r\ny'\r\n", {"A": "1", "B": "x\ny"}),
        ("A=1\rB=2", {"A": "1", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("A=\u00fc \U0001f680", {"A": "\u00fc \U0001f680"}),
        ("_a1=x", {"_a1": "x"}),
    ],
)
def test_what_a_file_says(text: str, found: dict[str, str]) -> None:
    """Promise: quotes, comments, export, line breaks and escapes are parsed as documented."""
    assert parse(text.encode(), ".env") == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A=1\nhunter2", "line 2: there is no = in it"),
        ("A: hunter2", "line 1: there is no = in it"),
        ("=hunter2", "line 1: what stands before its = is no name"),
        ("1A=hunter2", "line 1: what stands before its = is no name"),
        ("A-B=hunter2", "line 1: what stands before its = is no name"),
        ("A" * 129 + "=x", "is no name: 1 to 128"),
        ("A='hunter2", "line 1: the opening quote of A is not closed"),
        ('A="hunter2\nB=2', "line 1: the opening quote of A is not closed"),
        ('A="x"hunter2', "line 1: there is text after the closing quote of A"),
        ("A=`hunter2`", "line 1: the value of A is in backticks"),
        ("A=http://${HOST}/hunter2", "line 1: the value of A contains ${...} or $(...)"),
        ('A="$(cat hunter2)"', "line 1: the value of A contains ${...} or $(...)"),
        ('A="\\\\${B}"', "line 1: the value of A contains ${...}"),
        ("A=1\n\nA=hunter2", "line 3: A is already set in line 1"),
        ("A='x\ny'\nB", "line 3: there is no = in it"),
        ("A=hunter2\0", "line 1: the value of A contains a NUL"),
        ("A='hunter2\0'", "line 1: the value of A contains a NUL"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    """Promise: ambiguous lines are refused by number; values never appear in messages."""
    with pytest.raises(InputError) as caught:
        parse(text.encode(), ".env")
    assert said in caught.value.message
    assert "hunter2" not in caught.value.message


def test_bytes_and_sizes() -> None:
    """Promise: files that are not UTF-8, or too large, are refused."""
    with pytest.raises(InputError, match="not UTF-8"):
        parse(b"A=\xff", ".env")
    with pytest.raises(InputError, match="larger than 2 MiB"):
        parse(b"A=" + b"x" * (2 << 20), ".env")
    with pytest.raises(InputError, match="and 990 more") as caught:
        parse(b"x\n" * 1000, ".env")
    assert caught.value.message.count("\n") == 11


@given(st.text())
def test_any_text(text: str) -> None:
    """Promise: any text is parsed or refused, and parsing terminates."""
    try:
        found = parse(text.encode("utf-8", "replace"), "x")
    except InputError:
        return
    assert all(name.isascii() and "\0" not in value for name, value in found.items())


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")))
def test_a_quoted_value_is_itself(value: str) -> None:
    """Promise: any value can be quoted and is parsed unchanged."""
    doubled = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    found = parse(f"A=\"{doubled}\"\nB='{value.replace(chr(39), '')}'".encode(), "x")
    assert found == {"A": value, "B": value.replace("'", "")}
