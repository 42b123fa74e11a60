"""A failed start shows where the trouble begins, however much a framework prints after it."""

import time

from hypothesis import given
from hypothesis import strategies as st

from pkg.output.excerpt import excerpt

NOISE = [f"    at frame {number}" for number in range(200)]


def test_short_output_is_shown_whole() -> None:
    """Promise: nothing is left out of what fits."""
    assert excerpt(["a", "b"], 10, 100) == ["a", "b"]
    assert excerpt([], 10, 100) == []


def test_the_first_error_stays_far_above_the_end() -> None:
    """Promise: the line that names the cause is there with what stands before it, and so is the end."""
    shown = excerpt(["boot", "loading", "KeyError: 'DATABASE_URL'", *NOISE, "giving up"], 20, 2000)
    assert shown[:3] == ["boot", "loading", "KeyError: 'DATABASE_URL'"]
    assert shown[-1] == "giving up"
    assert any("lines left out" in line for line in shown)
    assert len(shown) <= 20


def test_the_kinds_of_trouble() -> None:
    """Promise: the error markers of common languages and loggers are recognised."""
    for line in (
        "Traceback (most recent call last):",
        "thread 'main' panicked at src/main.rs:4:5:",
        "panic: runtime error: index out of range",
        'Exception in thread "main" java.lang.IllegalStateException: no database',
        "Error: Cannot find module '/app/server.js'",
        "2026-11-28T08:00:00Z ERROR no database",
        "[2026-11-28 08:00:00 +0000] [1] [ERROR] Exception in worker process",
        "app/models.rb:3:in `connect': could not connect (PG::ConnectionBad)\nActiveRecord::NoDatabaseError: x",
        '{"level":"error","msg":"no database"}',
        "error: cannot find symbol",
    ):
        assert excerpt([line, *NOISE], 10, 1000)[0] == line, line


def test_words_about_errors_are_no_trouble() -> None:
    """Promise: a harmless line that mentions errors does not displace the end."""
    for line in ("0 errors, 3 warnings", "error handler registered", "loading ErrorBoundary component"):
        assert excerpt([line, *NOISE], 10, 1000) == NOISE[-10:], line


def test_no_line_takes_long() -> None:
    """Promise: an app's line can't hold up the process that looks for errors in it."""
    begin = time.process_time()
    for unit in ("! ", "!", "a ", "AError", "thread '", "x: "):
        excerpt([unit * 20_000, *NOISE], 10, 1000)
    assert time.process_time() - begin < 10  # quadratic: minutes


@given(
    st.lists(st.sampled_from(["KeyError: x", "ok", "y" * 300, "", "Traceback (most recent call last):"]), max_size=60),
    st.integers(3, 30),
    st.integers(100, 2000),
)
def test_the_bounds_hold(lines: list[str], max_lines: int, max_chars: int) -> None:
    """Promise: however the output looks, the excerpt keeps within its limits and is never empty without reason."""
    shown = excerpt(lines, max_lines, max_chars)
    assert len(shown) <= max_lines
    assert sum(len(line) + 1 for line in shown) <= max_chars
    assert bool(shown) == bool(lines)
