"""Which lines of an app's log our own probes caused. Pure.

A failed start shows the app's last lines. Its access log, if it writes one, is all ours by then: nobody else was sent
there.
"""

import re
from collections.abc import Iterable

from svc.krane.controller.probes import USER_AGENT

_COLOR = r"(?:\x1b|\\x1b)\[\d+m"  # as it was printed, or escaped
# After the path of the probe. A line that only mentions the path, as an exception would, is the app's own.
_AFTER = (
    r' HTTP/1\.[01]"?',  # combined and common log format, Django, Flask, http.server, gunicorn, uvicorn, Puma
    r'" for [0-9a-f.:]+ at ',  # Rails: Started GET "/up" for 172.18.0.1 at ...
    rf'"? (?:{_COLOR})?[1-5]\d\d\b',  # morgan, and much that is written by hand: GET /up 500 1.2 ms
)


def without_probes(lines: Iterable[str], path: str) -> list[str]:
    """The lines that a probe of `path` ("" when only connections are made) did not cause."""
    if not path:
        return list(lines)
    asked = re.compile(rf'(?<![A-Z])GET "?{re.escape(path)}(?:{"|".join(_AFTER)})')
    return [line for line in lines if f"{USER_AGENT}/" not in line and not asked.search(line)]
