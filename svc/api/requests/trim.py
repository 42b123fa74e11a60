"""Cutting text to a number of characters without leaving half of one. Pure.

A character as people see it may be several code points: a letter with combining marks, an emoji with a skin tone, a
family joined by zero-width joiners, a flag of two letters. The cut goes before such a cluster, never into it (the parts
of Unicode's UAX #29 that commit messages meet).
"""

import unicodedata

_JOINER = "\u200d"
_MAX_CLUSTER = 32  # longer ones are malicious and are cut


def trim(text: str, limit: int) -> str:
    """The longest beginning of `text` with at most `limit` code points that ends between two clusters."""
    if len(text) <= limit:
        return text
    cut = limit
    while cut > max(0, limit - _MAX_CLUSTER) and not _is_boundary(text, cut):
        cut -= 1
    return text[:cut] if _is_boundary(text, cut) else text[:limit]


def _is_boundary(text: str, at: int) -> bool:
    """Whether a cluster ends before text[at]; `at` is inside the text."""
    if at == 0:
        return True
    before, after = text[at - 1], text[at]
    if _JOINER in (before, after) or (before == "\r" and after == "\n"):
        return False
    if unicodedata.category(after) in ("Mn", "Me", "Mc") or _is_modifier(after):
        return False
    if _is_regional(before) and _is_regional(after):
        run = 0
        while run < at and _is_regional(text[at - 1 - run]):
            run += 1
        return run % 2 == 0
    return True


def _is_modifier(character: str) -> bool:
    return "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f"


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
