"""JSON lines on standard error, by the standard library.

One object per line: ts, level, logger, msg, service, service.instance.id, then what the context bound (request_id,
deployment_id ...), then the fields of the call, and exc with the traceback. Field names are the protos' names.

    log = logging.getLogger(__name__)
    with bind(request_id=request_id):
        log.info("deployment created", extra=fields(deployment_id=deployment_id))
"""

import contextlib
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from pkg.observability.repetitions import Repetitions

MAX_TEXT_CHARACTERS = 32_768  # of a message, a field, a traceback
_FIELDS = "sealift_fields"
_bound: ContextVar[Mapping[str, Any]] = ContextVar("sealift_log_fields")
_RESERVED = frozenset({"ts", "level", "logger", "msg", "service", "service.instance.id", "exc"})

# Backslash and quote end a match, so that redacting a finished JSON line leaves it valid JSON.
_TOKEN = re.compile(r"slk_[A-Za-z0-9_\-]+")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=\-]+")
_PASSWORD = re.compile(r"(://(?:[^/\s:@\"'\\]*:)?)[^/\s\"'\\]+@")
_QUERY = re.compile(r"\?[^\s\"'<>\\]*")
_SIGNED = re.compile(r"(?i)(?:sig|signature|credential|token)=")


def configure(service: str, instance_id: str, level: str = "info", *, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (standard error) as JSON; replaces what was configured before.

    Of warnings and errors that repeat themselves, only some are written, see `Repetitions`.

    `level` is a name such as "info"; `service` and `instance_id` go into every line.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service, instance_id))
    handler.addFilter(Repetitions())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("httpx2").setLevel(max(logging.WARNING, root.level))  # it logs each request as info
    logging.captureWarnings(True)


def fields(**values: object) -> dict[str, Any]:
    """The `extra=` of a log call. Names are free: unlike plain extra they cannot clash with logging's own."""
    return {_FIELDS: values}


@contextlib.contextmanager
def bind(**values: object) -> Iterator[None]:
    """Put fields into every line logged inside, also by the tasks started there. Nests; the inner value wins."""
    token = _bound.set({**_bound.get({}), **values})
    try:
        yield
    finally:
        _bound.reset(token)


def bound() -> dict[str, Any]:
    """The fields bound here, e.g. to hand the request id on."""
    return dict(_bound.get({}))


def redact(text: str) -> str:
    """`text` without bearer tokens, `slk_` keys, passwords in URLs and the queries of signed URLs."""
    text = _BEARER.sub(r"\1****", _TOKEN.sub("slk_****", text))
    text = _PASSWORD.sub(r"\1****@", text)
    return _QUERY.sub(lambda query: "?****" if _SIGNED.search(query[0]) else query[0], text)


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON, redacted."""

    def __init__(self, service: str, instance_id: str) -> None:
        super().__init__()
        self._always = {"service": service, "service.instance.id": instance_id}

    def format(self, record: logging.LogRecord) -> str:
        """One line; never raises for a value that JSON does not know."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": _cut(record.getMessage()),
            **self._always,
        }
        for name, value in {**_bound.get({}), **getattr(record, _FIELDS, {})}.items():
            line[f"{name}_" if name in _RESERVED else name] = _cut(value) if isinstance(value, str) else value
        if record.exc_info and record.exc_info[1] is not None:
            line["exc"] = _cut("".join(traceback.format_exception(record.exc_info[1])), keep_end=True)
        return redact(json.dumps(line, default=_plain, ensure_ascii=False, skipkeys=True))


def _cut(text: str, *, keep_end: bool = False) -> str:
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    left_out = f"[{len(text) - MAX_TEXT_CHARACTERS} characters left out]"
    return f"{left_out} {text[-MAX_TEXT_CHARACTERS:]}" if keep_end else f"{text[:MAX_TEXT_CHARACTERS]} {left_out}"


def _plain(value: object) -> str:
    try:
        return _cut(str(value))
    except Exception:
        return f"<{type(value).__name__}>"
