"""The reason why a step was ended survives the way through the step's output."""

import pytest

from pkg.builds import bounds
from pkg.builds.bounds import BoundHit

GIB = 1 << 30


@pytest.mark.parametrize(
    ("hit", "is_of_disk"),
    [
        (bounds.of_disk(2 * GIB, 2 * GIB, GIB), True),
        (bounds.of_disk(2 * GIB, 3 * GIB, GIB), True),
        (bounds.of_free_space(2 * GIB, 512 << 20, GIB), True),
        (bounds.of_processes(3072), False),
    ],
)
def test_a_line_is_found_again(hit: BoundHit, is_of_disk: bool) -> None:
    """Between other lines, with whatever a builder puts around it; the words name the setting."""
    assert bounds.find(["can't fork", f"\x1b[0m{hit.line}", "Killed"]) == hit
    assert f"([builds] {hit.setting})" in hit.why
    assert hit.is_of_disk is is_of_disk


def test_other_lines_are_none() -> None:
    """Only whole lines count, and the last one."""
    assert bounds.find(["sealift: this step was ended: because", "[builds] pids"]) is None
    first, last = bounds.of_processes(1), bounds.of_processes(2)
    assert bounds.find([first.line, last.line]) == last
