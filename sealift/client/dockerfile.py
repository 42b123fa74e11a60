"""Finds the context paths that a Dockerfile copies by name. Pure.

Used to warn that such a path is not sent. Sources that are uncertain (variables, patterns, URLs, files of other stages
and images) are ignored.
"""

import json
import posixpath
import re

_ESCAPE = re.compile(r"^#\s*escape\s*=\s*`\s*$", re.IGNORECASE | re.MULTILINE)
_COPY = re.compile(r"\s*(?:COPY|ADD)\s+(.*)", re.IGNORECASE | re.DOTALL)
_FLAG = re.compile(r"--(\S+)\s+")
_UNCERTAIN = re.compile(r"[*?\[\]$\\`\"']|<<|://|^git@")


def copied_paths(dockerfile: str) -> list[str]:
    """The sources of COPY and ADD that are plain paths, relative to the context, in order, without duplicates."""
    found: dict[str, None] = {}
    for instruction in _instructions(dockerfile):
        match = _COPY.fullmatch(instruction)
        words = match.group(1) if match else ""
        is_of_context = bool(match)
        while flag := _FLAG.match(words):
            is_of_context = is_of_context and not flag.group(1).lower().startswith("from")
            words = words[flag.end() :]
        if is_of_context:
            found.update((path, None) for word in _words(words)[:-1] if (path := _path(word)))
    return list(found)


def _instructions(text: str) -> list[str]:
    """Instructions: lines joined at trailing escapes, without comments."""
    mark = "`" if _ESCAPE.search(text.split("\n\n", 1)[0]) else "\\"
    joined, open_line = [], ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        stripped = line.rstrip()
        if stripped.endswith(mark):
            open_line += stripped[:-1] + " "
        else:
            joined.append(open_line + stripped)
            open_line = ""
    return [*joined, open_line]


def _words(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            return []
        return [word for word in words if isinstance(word, str)]
    return text.split()


def _path(word: str) -> str:
    """A source as a context path; "" if uncertain, or if it is the whole context."""
    if _UNCERTAIN.search(word):
        return ""
    path = posixpath.normpath(word).lstrip("/")
    return "" if path in (".", "") or path.startswith("..") else path
