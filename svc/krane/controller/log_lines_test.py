"""A place in a log is found again exactly, and lines become text in bounded pieces without secrets."""

from hypothesis import given
from hypothesis import strategies as st

from pkg.output.redact import Redactor
from pkg.telemetry.events import MAX_LINE_BYTES
from svc.krane.controller.log_lines import (
    MAX_KEPT_BYTES,
    LineAssembler,
    LogPosition,
    RawLine,
    Resume,
    pieces,
    texts,
)
from svc.krane.runtime.port import LogRecord

SECOND_NS = 1_000_000_000
# In order of the runtime's log; of two outputs, so that times may go back a little, and be the same.
TIMES = st.lists(st.integers(0, 40), max_size=60).map(
    lambda steps: [max(0, sum(steps[:at]) - step % 3) * SECOND_NS // 10 for at, step in enumerate(steps)]
)


def taken(times: list[int], resume: Resume) -> tuple[list[int], Resume]:
    """The places of the lines that are new after `resume`, and where to go on after them."""
    position = LogPosition(resume)
    new = [at for at, at_ns in enumerate(times) if at_ns >= resume.since_s * SECOND_NS and position.take(at_ns)]
    assert not position.missing
    return new, position.resume()


@given(TIMES, st.lists(st.integers(0, 60), max_size=4))
def test_every_line_is_taken_once(times: list[int], stops: list[int]) -> None:
    """Promise: wherever krane is killed, and however often, no line is missing or there twice."""
    resume, got = Resume(), []
    for stop in [*sorted(stops), len(times)]:
        new, resume = taken(times[:stop], Resume.parse(resume.to_text()))
        got += new
    assert got == list(range(len(times)))


def test_what_the_runtime_dropped_is_noticed() -> None:
    """Promise: a log that was rotated away, as a whole or in part, is known to have a gap; its new lines are taken."""
    for kept in (0, 1, 2):
        position = LogPosition(Resume(since_s=1, taken=3, last_ns=2 * SECOND_NS))
        old = [position.take(at_ns) for at_ns in [2 * SECOND_NS] * kept]
        assert position.take(3 * SECOND_NS)
        assert (any(old), position.missing) == (False, 3 - kept)
        assert position.take(3 * SECOND_NS)


def test_long_lines_are_joined_for_each_output() -> None:
    """Promise: pieces of stdout and of stderr that come in between each other make two lines; the size is bounded."""
    assembler = LineAssembler()
    records = [
        LogRecord(1, False, b"out ", True),
        LogRecord(2, True, b"err ", True),
        LogRecord(1, False, b"\xc3", True),
        LogRecord(2, True, b"end"),
        LogRecord(1, False, b"\xbc end"),
        LogRecord(3, False, b""),
    ]
    found = [line for record in records for line in assembler.feed([record])]
    assert found == [RawLine(2, True, b"err end"), RawLine(1, False, b"out \xc3\xbc end"), RawLine(3, False, b"")]
    big = LogRecord(4, False, b"x" * (64 << 10), True)
    lines = [line for record in [big] * 20 + [LogRecord(4, False, b"y")] for line in assembler.feed([record])]
    assert [(len(line.data), line.cut_bytes) for line in lines] == [
        (MAX_KEPT_BYTES, (20 * (64 << 10)) + 1 - MAX_KEPT_BYTES)
    ]


@given(st.text(max_size=200).map(lambda text: text * 300))
def test_pieces_fit_and_are_the_text(text: str) -> None:
    """Promise: no piece is larger than a stored line, none is cut inside a character, and together they are all."""
    found = pieces(text)
    assert all(len(piece.encode()) <= MAX_LINE_BYTES for piece in found)
    assert "".join(found) == text


def test_texts_have_no_secret() -> None:
    """Promise: a value is masked in one line, broken over two, coloured, and where a long line is cut inside it."""
    redactor = Redactor([b"a-secret-of-24-characters", b"s3cret"])
    lines = [b"one s3cret", b"a-secret-of-24-char", b"acters", b"\x1b[1ms3c\x1b[0mret", b"\xff\r", b"last"]
    shown = texts([RawLine(1, False, line) for line in lines], redactor)
    assert len(shown) == len(lines)
    assert "secret" not in "".join(shown).replace("\x1b[0m", "").replace("\x1b[1m", "")
    cut = RawLine(1, False, b"x" * (MAX_KEPT_BYTES - 10) + b"a-secret-o", 15)
    (text,) = texts([cut], redactor)
    assert "secret" not in text
    assert text.endswith(f"x… (the line goes on for {15 + redactor.reach} bytes)")
