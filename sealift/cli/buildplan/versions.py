"""Versions of languages in the files of an app, and the image's version that satisfies them. Pure.

A range such as `^3.11` or `>=18 <21` gives the default version if it contains it, else the first known one that it
contains. What can't be read gives the default.
"""

import re
from collections.abc import Sequence

Version = tuple[int, ...]
_TERM = re.compile(r"(\^|~=|~>|~|>=|<=|==|=|!=|>|<)?\s*v?(\d+|\*|x)(?:\.(\d+|\*|x))?(?:\.(\d+|\*|x))?[^\s,|]*")
_EXACT = re.compile(r"v?(\d{1,2})(?:\.(\d{1,3}))?(?:\.\d{1,4})?")
_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")


def exact(text: str, parts: int) -> str:
    """The version in a text such as "v20.11.1", cut to so many parts; "" if it is not one, or has fewer parts."""
    found = _EXACT.fullmatch(text.strip())
    numbers = [part for part in (found.groups() if found else ()) if part is not None]
    return ".".join(numbers[:parts]) if len(numbers) >= parts else ""


def chosen(wanted: str, default: str, known: Sequence[str]) -> str:
    """The version for a range.

    Args:
        wanted: the range; "" accepts all.
        default: the version that is used if the range contains it.
        known: other versions, best first.
    """
    return next((one for one in (default, *known) if contains(wanted, one)), default)


def contains(wanted: str, version: str) -> bool:
    """Whether a range contains some release of a version such as "20" or "3.12". An empty range contains all."""
    numbers = tuple(int(part) for part in version.split("."))
    alternatives = [part for part in wanted.split("||") if part.strip()]
    return not alternatives or any(_contains_all(part, numbers) for part in alternatives)


def _contains_all(text: str, version: Version) -> bool:
    text = _HYPHEN.sub(r">=\1 <=\2", text)
    return all(_contains_term(*_parts(term), version) for term in _TERM.finditer(text))


def _parts(term: "re.Match[str]") -> tuple[str, Version]:
    """The operator and the numbers before the first wildcard."""
    numbers: list[int] = []
    for part in term.groups()[1:]:
        if part is None or not part.isdecimal():
            break
        numbers.append(int(part))
    return term[1] or "=", tuple(numbers)


def _contains_term(operator: str, bound: Version, version: Version) -> bool:
    if not bound:  # "*"
        return True
    size = len(version)
    near = bound[:size]
    if operator in (">=", ">"):
        # 20.5 is a release of "20"
        return version > near if operator == ">" and len(bound) <= size and near == bound else version >= near
    if operator == "<":
        return version < near or (version == near and len(bound) > size and any(bound[size:]))
    if operator == "<=":
        return version <= near
    if operator == "!=":
        return len(bound) > size or version[: len(bound)] != bound
    if operator == "^":
        return version[0] == bound[0] and version >= near
    if operator in ("~", "~>", "~="):
        kept = min(len(bound), 2) if operator == "~" else max(1, len(bound) - 1)
        return version[:kept] == bound[:kept][:size] and version >= near
    return version[: len(bound)] == near
