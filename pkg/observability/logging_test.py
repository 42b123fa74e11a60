import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from pkg.observability import logging as json_logging
from pkg.observability.logging import MAX_TEXT_CHARACTERS, bind, bound, fields, redact

log = logging.getLogger("test.sealift")


@pytest.fixture
def lines() -> Iterator[Any]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    json_logging.configure("api", "inst_1", "info", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)


def test_one_json_object_per_line(lines: Any) -> None:
    """Promise: every line has the same fields, for every logger and every message."""
    log.info("two\nlines \u2603", extra=fields(deployment_id="dep_1", size_bytes=3))
    log.debug("below the level")
    (line,) = lines()
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "test.sealift",
        "msg": "two\nlines \u2603",
        "service": "api",
        "service.instance.id": "inst_1",
        "deployment_id": "dep_1",
        "size_bytes": 3,
    }


async def test_bound_fields_follow_the_work(lines: Any) -> None:
    """Promise: every line of a request carries its ids, also from tasks, and no other request's."""

    async def work() -> None:
        log.info("inside")

    async def request(request_id: str) -> None:
        with bind(request_id=request_id):
            await asyncio.sleep(0)
            with bind(deployment_id="dep_1"):
                await asyncio.create_task(work())
            assert bound() == {"request_id": request_id}

    await asyncio.gather(request("req_1"), request("req_2"))
    log.info("outside")
    assert [(line.get("request_id"), line.get("deployment_id")) for line in lines()] == [
        ("req_1", "dep_1"),
        ("req_2", "dep_1"),
        (None, None),
    ]


def test_exception_is_included_once(lines: Any) -> None:
    """Promise: a traceback is one field of one line."""
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("failed")
    (line,) = lines()
    assert line["msg"] == "failed"
    assert line["exc"].count("ValueError: broken") == 1


def test_fields_cannot_overwrite_or_break_a_line(lines: Any) -> None:
    """Promise: no value makes logging fail, and none passes for the line's own fields."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    log.info("x", extra=fields(level="fake", name="n", args=1, broken=Broken(), raw=b"\xff", nested={"a": {1}}))
    (line,) = lines()
    assert (line["level"], line["level_"], line["name"], line["broken"]) == ("info", "fake", "n", "<Broken>")


def test_bounded(lines: Any) -> None:
    """Promise: one line never floods the log."""
    log.info("%s", "m" * (MAX_TEXT_CHARACTERS + 5), extra=fields(value="v" * 1_000_000))
    (line,) = lines()
    assert line["msg"].endswith("[5 characters left out]")
    assert len(line["value"]) < MAX_TEXT_CHARACTERS + 100


def test_no_secret_in_a_line(lines: Any) -> None:
    """Promise: keys and signatures are cut out of messages, fields and tracebacks, and lines stay JSON."""
    try:
        raise ValueError("slk_SECRET in http://h/objects/a?expires=1&sig=SECRET")
    except ValueError:
        log.exception(
            "authorization: Bearer SECRET.x-y\nslk_SECRET",
            extra=fields(url='"http://h/a?X-Amz-Credential=SECRET&X-Amz-Signature=SECRET"', key="slk_SECRET\\"),
        )
    (line,) = lines()
    assert "SECRET" not in json.dumps(line)
    assert line["key"] == "slk_****\\"
    assert line["url"] == '"http://h/a?****"'


def test_redact_leaves_the_rest() -> None:
    """Promise: what is no secret stays readable."""
    assert redact("GET /objects/a?page=2 by key_1") == "GET /objects/a?page=2 by key_1"
    assert redact("postgresql+psycopg://sealift:SECRET@db/sealift, a@b:c") == (
        "postgresql+psycopg://sealift:****@db/sealift, a@b:c"
    )
    assert redact("http://127.0.0.1:7400/a@b") == "http://127.0.0.1:7400/a@b"
    assert redact("see http://h/a?x=1&sig=abc and http://h/b") == "see http://h/a?**** and http://h/b"


def test_warnings_and_other_libraries_come_through(lines: Any) -> None:
    """Promise: nothing writes past the log."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    logging.getLogger("hypercorn.error").warning("from a library")
    assert [line["logger"] for line in lines()] == ["py.warnings", "hypercorn.error"]
