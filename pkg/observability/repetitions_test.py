"""A repeated fault is logged, and does not fill the log."""

import io
import json
import logging
import time
from typing import Any

import pytest

from pkg.observability import logging as json_logging
from pkg.observability import repetitions


@pytest.fixture
def out() -> Any:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    json_logging.configure("api", "inst-test", stream=stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)


def lines(out: io.StringIO) -> list[str]:
    return [json.loads(line)["msg"] for line in out.getvalue().splitlines()]


def test_a_flood_is_bounded_and_counted(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: twenty of a kind are written, whatever their values; the first one after the window counts the rest."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    log = logging.getLogger("asyncio")
    for n in range(13_371):
        log.error("accept failed: %d", n)
    log.error("another kind")
    assert len(lines(out)) == repetitions.AT_ONCE + 1
    now += repetitions.WINDOW_S
    log.error("accept failed: %d", 7)
    assert lines(out)[-1] == "accept failed: 7 (13351 more lines like this were left out)"


def test_ordinary_lines_all_pass(out: io.StringIO) -> None:
    """Promise: the line of each call is written, however many there are."""
    log = logging.getLogger("svc.api")
    for _ in range(100):
        log.info("rpc")
    assert len(lines(out)) == 100


def test_kinds_are_bounded(out: io.StringIO) -> None:
    """Promise: messages without end that are all different use no memory without end."""
    log = logging.getLogger("svc.api")
    for n in range(repetitions.KINDS * 2):
        log.error(f"text {n}")
    [found] = [
        each
        for handler in logging.getLogger().handlers
        for each in handler.filters
        if isinstance(each, repetitions.Repetitions)
    ]
    assert len(found._kinds) == repetitions.KINDS
