"""Chunks become lines, whatever they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.buildkit.log_lines import TAIL_LINES, LineSplitter, LogBudget
from pkg.output.redact import Redactor
from pkg.telemetry.events import MAX_LINE_BYTES, BuildLine, LogStream


def split(*chunks: bytes, secrets: tuple[bytes, ...] = ()) -> list[str]:
    splitter = LineSplitter(Redactor(secrets))
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.finish()


def line(text: str) -> BuildLine:
    return BuildLine("s", LogStream.STDOUT, text)


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_chunks_do_not_matter(chunks: list[bytes]) -> None:
    """The same bytes in other chunks are the same lines, and every line is valid, single and short."""
    whole = b"".join(chunks)
    lines = split(*chunks)
    assert lines == split(whole)
    assert len(lines) == whole.count(b"\n") + (not whole.endswith(b"\n") and whole != b"")
    assert all("\n" not in text and len(text.encode()) <= MAX_LINE_BYTES for text in lines)


def test_empty_lines_and_line_ends() -> None:
    """An empty line is a line; CR LF is one line end."""
    assert split(b"a\r\n\nb") == ["a", "", "b"]


def test_a_progress_bar_shows_its_last_state() -> None:
    """What a terminal would have overwritten is dropped, also when it is longer than a line may be."""
    assert split(b"10%\r20%\r100%\n") == ["100%"]
    assert split(*[b"x" * 999 + b"\r"] * 100, b"done\n") == ["done"]


def test_binary_is_made_text() -> None:
    """Control characters and broken UTF-8 become the replacement character; colours and tabs stay."""
    assert split(b"\x00\xff\t\x1b[31mred\x7f\n") == ["\ufffd\ufffd\t\x1b[31mred\ufffd"]


def test_titles_and_links_are_for_terminals() -> None:
    """Sequences that a terminal does not show leave nothing, nor do they hide a secret from the redaction."""
    link = b"\x1b]8;;https://example.com\x1b\\docs\x1b]8;;\x1b\\"
    assert split(b"\x1b]0;npm install\x07see " + link + b" now\n") == ["see docs now"]
    assert split(b"to\x1b]0;x\x07p-secret\n", secrets=(b"top-secret",)) == ["***"]
    assert split(b"a \x1b]0;no end\n") == ["a \x1b]0;no end"]


@pytest.mark.parametrize("unit", [b"x", "ü".encode(), b"\xff", b"\0"])
def test_long_lines_are_cut_with_a_mark(unit: bytes) -> None:
    """At most 16 KiB whatever the characters; the mark says how long it was; the next line is whole."""
    lines = split(*[unit * 1000] * 300, b"\nnext\n")
    assert lines[1:] == ["next"]
    assert len(lines[0].encode()) <= MAX_LINE_BYTES
    assert lines[0].endswith(f"[line cut: it has {300_000 * len(unit)} bytes]")


def test_a_secret_across_chunks_and_across_the_cut() -> None:
    """Neither a chunk's edge nor the cut shows half of a secret."""
    secret = b"0123456789" * 20
    assert split(b"a " + secret[:100], secret[100:] + b" b\n", secrets=(secret,)) == ["a *** b"]
    for before in range(MAX_LINE_BYTES - 250, MAX_LINE_BYTES + 10, 7):
        (cut,) = split(b"x" * before + secret + b"y" * 100_000 + b"\n", secrets=(secret,))
        assert "012345" not in cut


def test_the_budget_keeps_beginning_and_end() -> None:
    """Over the limit: a mark at once, and at the end how much is missing and the last lines."""
    budget = LogBudget(max_lines=TAIL_LINES + 10)
    stored = [out for n in range(5000) for out in budget.admit(line(str(n)))]
    assert [out.text for out in stored[:10]] == [str(n) for n in range(10)]
    assert stored[10].stream is LogStream.SYSTEM
    assert "only its last lines" in stored[10].text
    assert len(stored) == 11
    tail = budget.finish()
    assert tail[0].text.startswith(f"[{5000 - 10 - TAIL_LINES} lines (")
    assert [out.text for out in tail[1:]] == [str(n) for n in range(5000 - TAIL_LINES, 5000)]


def test_the_budget_in_bytes() -> None:
    """Few huge lines are limited, too; what is kept of the end stays small."""
    budget = LogBudget(max_bytes=(1 << 20) + 50_000)
    stored = [out for _ in range(1000) for out in budget.admit(line("x" * 16_000))]
    assert len(stored) == 4
    assert sum(len(out.text) for out in budget.finish()) <= 1 << 20


def test_a_small_log_is_untouched() -> None:
    """Below the limit nothing is added."""
    budget = LogBudget()
    assert budget.admit(line("a")) == [line("a")]
    assert budget.finish() == []
