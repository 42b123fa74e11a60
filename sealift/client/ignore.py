"""Applies `.dockerignore` rules. Pure.

The rules are those of moby's `patternmatcher` and `ignorefile` packages, which Docker and BuildKit use: patterns are
cleaned and anchored at the context's root, `**` crosses directories, `!` includes a path again, the last matching
pattern decides, and a pattern that matches a directory matches everything below it. The docker SDK's matcher is not
used, because its import takes 150 ms and it matches every pattern against every path again.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

BOM = "\ufeff"


@dataclass(frozen=True)
class Pattern:
    """One line of an ignore file.

    Attributes:
        text: cleaned, without "!".
        is_exception: whether the line began with "!".
        regex: matches whole paths, relative to the context and with slashes.
    """

    text: str
    is_exception: bool
    regex: re.Pattern[str]


class PatternError(ValueError):
    """An invalid pattern; the message has the line and the reason."""


class IgnoreRules:
    """The patterns of one ignore file, in order."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = tuple(patterns)
        self._exceptions = tuple(pattern for pattern in patterns if pattern.is_exception)

    @classmethod
    def parse(cls, text: str) -> "IgnoreRules":
        """Rules from the text of an ignore file.

        Raises:
            PatternError: a line is not a valid pattern.
        """
        patterns = []
        for number, line in enumerate(text.removeprefix(BOM).split("\n"), 1):
            if line.startswith("#"):
                continue
            try:
                pattern = parse_pattern(line)
            except PatternError as error:
                raise PatternError(f"line {number}: {error}") from None
            if pattern:
                patterns.append(pattern)
        return cls(patterns)

    def leaves_out(self, path: str, parent: "Matches | None" = None) -> "tuple[bool, Matches]":
        """Whether `path` is excluded, and its matches, to be passed to calls for paths below it.

        Args:
            path: relative to the context, with slashes.
            parent: the matches of its directory; None for the root.
        """
        matches = tuple(
            bool((parent and parent[index]) or pattern.regex.fullmatch(path))
            for index, pattern in enumerate(self._patterns)
        )
        out = False
        for pattern, matched in zip(self._patterns, matches, strict=True):
            if matched:
                out = not pattern.is_exception
        return out, matches

    def takes_back_by_name(self, name: str) -> bool:
        """Whether an exception names this file of the root, and it is not excluded."""
        named = any(pattern.text in (name, f"**/{name}") for pattern in self._exceptions)
        return named and not self.leaves_out(name)[0]

    def may_take_back_below(self, directory: str) -> bool:
        """Whether an exception may match something below an excluded directory."""
        prefix = directory + "/"
        for pattern in self._exceptions:
            literal = _literal_prefix(pattern.text)
            if literal.startswith(prefix) or (literal != pattern.text and prefix.startswith(literal)):
                return True
        return False


Matches = tuple[bool, ...]


def parse_pattern(line: str) -> Pattern | None:
    """A pattern from one line; None if it is empty.

    Raises:
        PatternError: a lone "!", an unclosed bracket, or a trailing backslash.
    """
    text = line.strip()
    is_exception = text.startswith("!")
    if is_exception:
        text = text[1:].strip()
        if not text:
            raise PatternError('"!" has no pattern')
    if not text:
        return None
    text = posixpath.normpath(text)
    text = text.lstrip("/") if len(text) > 1 else text
    if text in (".", "/"):
        return None  # "For historical reasons, the pattern . is ignored."
    return Pattern(text, is_exception, _compile(text))


def _compile(text: str) -> re.Pattern[str]:
    """The regular expression of a pattern, as moby's `Pattern.compile` builds it."""
    out, at = "", 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*" and text[at : at + 1] == "*":
            while text[at : at + 1] == "*":
                at += 1
            at += text[at : at + 1] == "/"
            out += "(?:.*/)?" if at < len(text) else ".*"
        elif char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "\\":
            if at == len(text):
                raise PatternError(f"{text!r} ends in a backslash")
            out += re.escape(text[at])
            at += 1
        elif char == "[":
            end = _class_end(text, at)
            out += "[" + re.sub(r"[\[&|~]", r"\\\g<0>", text[at:end]) + "]"
            at = end + 1
        else:
            out += re.escape(char)
    try:
        return re.compile(out, re.DOTALL)
    except re.error as error:
        raise PatternError(f"{text!r} is not a valid pattern: {error}") from None


def _class_end(text: str, at: int) -> int:
    """The index of the bracket that closes the one before `at`."""
    start = at + (text[at : at + 1] == "^")
    end = start
    while end < len(text):
        if text[end] == "\\":
            end += 1
        elif text[end] == "]" and end > start:
            return end
        end += 1
    raise PatternError(f"{text!r} has a bracket that is not closed")


def _literal_prefix(text: str) -> str:
    """The part of a pattern before its first special character."""
    found = re.search(r"[*?\[\\]", text)
    return text[: found.start()] if found else text
