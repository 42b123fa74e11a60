"""A bound on lines that say the same again and again: a fault that repeats itself must not fill the disk."""

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

AT_ONCE = 20
WINDOW_S = 10.0
# At most so many kinds of lines are distinguished at a time; the one seen longest ago is forgotten.
KINDS = 512


@dataclass
class _Seen:
    since: float
    count: int = 0
    left_out: int = 0


class Repetitions(logging.Filter):
    """Lets at most 20 warnings or errors of one kind through in ten seconds; the next one later says how many were not.

    A kind is a logger, a message before its values are filled in, and the type of the error. Lines below a warning
    always pass: there is one for each request.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._kinds: OrderedDict[tuple[str, str, str], _Seen] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.levelno < logging.WARNING:
            return True
        error = type(record.exc_info[1]).__name__ if record.exc_info and record.exc_info[1] else ""
        template = str(record.msg)
        text = record.getMessage() if template == "%s" else template
        kind = (record.name, text[:200], error)
        now = time.monotonic()
        with self._lock:
            seen = self._kinds.pop(kind, None)
            left_out = 0
            if seen is None or now - seen.since >= WINDOW_S:
                left_out = seen.left_out if seen is not None else 0
                seen = _Seen(now)
            seen.count += 1
            self._kinds[kind] = seen
            while len(self._kinds) > KINDS:
                self._kinds.popitem(last=False)
            if seen.count > AT_ONCE:
                seen.left_out += 1
                return False
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more lines like this were left out)", None
        return True
