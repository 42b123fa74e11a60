r"""Parses `.env` files. Pure and strict.

    # a comment
    NAME=value                 # ends before a blank and #; surrounding blanks are removed
    export NAME = 'as it is'   # single quotes: $, # and \ are literal, and the value may span lines
    NAME="line\nline \"two\""  # double quotes: \n \r \t \\ \" \$ are escapes, and the value may span lines

Nothing is expanded. Tools treat `${NAME}` and `$(command)` differently, so outside single quotes these are refused; any
other `$` is literal. Duplicate names are refused. CRLF line ends and a byte order mark are accepted. Messages contain
line numbers and names, never values.
"""

import re
from collections.abc import Iterator

from sealift.client.errors import InputError

MAX_BYTES = 2 << 20
MAX_PROBLEMS = 10
_BEGIN = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]{0,127})[ \t]*=[ \t]*")
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_BARE = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:\A|[ \t]+)#.*")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE = re.compile(r"'([^']*)'")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_EXPANSION = re.compile(r"(?<!\\)\$[{(]")
_MEANT = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$"}


class _Problem(Exception):  # noqa: N818 - internal to this module
    """An invalid line; `resume` is the offset of the next one."""

    def __init__(self, text: str, resume: int) -> None:
        super().__init__(text)
        self.text = text
        self.resume = resume


def parse(raw: bytes, name: str) -> dict[str, str]:
    """The variables of a file, in order.

    Args:
        raw: the file's bytes.
        name: the file's name, for messages.

    Raises:
        InputError: not UTF-8, larger than 2 MiB, or with invalid lines, of which the message lists up to ten.
    """
    if len(raw) > MAX_BYTES:
        raise InputError(f"{name} is larger than 2 MiB", field="file")
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise InputError(f"{name} is not UTF-8 text", field="file") from None
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    for number, one in _entries(text):
        if isinstance(one, _Problem):
            problems.append(f"line {number}: {one.text}")
        elif one[0] in found:
            problems.append(f"line {number}: {one[0]} is already set in line {lines[one[0]]}: remove one of them")
        else:
            found[one[0]], lines[one[0]] = one[1], number
    if problems:
        more = len(problems) - MAX_PROBLEMS
        listed = "".join(f"\n  {problem}" for problem in problems[:MAX_PROBLEMS])
        raise InputError(
            f"{name} has invalid lines:{listed}" + (f"\n  and {more} more" if more > 0 else ""), field="file"
        )
    return found


def _entries(text: str) -> Iterator[tuple[int, tuple[str, str] | _Problem]]:
    """Each variable or problem with the number of its first line."""
    at = 0
    while at < len(text):
        blank = _BLANK.match(text, at)
        if blank:
            at = max(blank.end(), at + 1)
            continue
        number = text.count("\n", 0, at) + 1
        try:
            name, value, at = _entry(text, at)
            yield number, (name, value)
        except _Problem as problem:
            yield number, problem
            at = problem.resume


def _entry(text: str, at: int) -> tuple[str, str, int]:
    """The variable at offset `at`: name, value, and the offset of the next line."""
    next_line = _line_end(text, at) + 1
    begin = _BEGIN.match(text, at)
    if begin is None:
        raise _Problem(_no_variable(text[at : next_line - 1]), next_line)
    name, start = begin["name"], begin.end()
    quote = text[start : start + 1]
    if quote == "`":
        raise _Problem(f"the value of {name} is in backticks: use single quotes", next_line)
    if quote and quote in "'\"":
        return name, *_quoted(text, start, name, quote, next_line)
    bare = _BARE.match(text, start)
    assert bare is not None
    value = _COMMENT.sub("", bare[0]).strip(" \t")
    _check(name, value, value, next_line)
    return name, value, bare.end() + 1


def _no_variable(line: str) -> str:
    """Why a line is none of a variable. Nothing of it is shown: it may be the rest of a secret without quotes."""
    if "=" not in line:
        return "there is no = in it; a value of several lines needs quotes"
    return (
        "what stands before its = is no name: 1 to 128 of A-Z, a-z, 0-9 and _, the first no digit; a value of several "
        "lines needs quotes"
    )


def _quoted(text: str, start: int, name: str, quote: str, next_line: int) -> tuple[str, int]:
    match = (_DOUBLE if quote == '"' else _SINGLE).match(text, start)
    if match is None:
        raise _Problem(f"the opening quote of {name} is not closed", next_line)
    rest = _BLANK.match(text, match.end())
    if rest is None:
        raise _Problem(f"there is text after the closing quote of {name}", _line_end(text, match.end()) + 1)
    value = match[1]
    if quote == '"':
        _check(name, re.sub(r"\\\\", "", value), value, rest.end())
        value = _ESCAPE.sub(lambda found: _MEANT.get(found[1], found[0]), value)
    elif "\0" in value:
        _check(name, "", value, rest.end())
    return value, max(rest.end(), match.end())


def _check(name: str, text: str, value: str, resume: int) -> None:
    if _EXPANSION.search(text):
        raise _Problem(
            f"the value of {name} contains ${{...}} or $(...), which is not expanded: write the value itself, or use "
            "single quotes to keep the text",
            resume,
        )
    if "\0" in value:
        raise _Problem(f"the value of {name} contains a NUL character", resume)


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found
