"""A build learns why its step was ended, also when the step's output says nothing, and never blames a bound wrongly."""

from pathlib import Path

from pkg.builds.ended_steps import MAX_STEPS, EndedStep, add, choose, command_of, read, watch

BOMB = EndedStep(
    ended_at_ms=2_000,
    command="/bin/sh /bomb; sleep 300",
    line="sealift: this step was ended: processes ([builds] pids)",
)
FILLER = EndedStep(
    ended_at_ms=2_100,
    command="cat /dev/zero >/filler",
    line="sealift: this step was ended: disk ([builds] disk_mib)",
)


def test_the_step_is_found_by_its_command() -> None:
    """Of two builds whose steps are ended at one time, each gets its own reason."""
    steps = [BOMB, FILLER]
    assert choose(steps, 1_000, "[3/4] RUN /bin/sh /bomb; sleep 300") == BOMB.line
    assert choose(steps, 1_000, "[2/2] RUN cat /dev/zero >/filler") == FILLER.line


def test_another_step_was_not_ended() -> None:
    """What failed beside a step that was ended, for want of memory say, is not blamed on its bound."""
    assert choose([BOMB], 1_000, "[3/4] RUN awk 'BEGIN { while (1) s = s s }'") == ""
    assert choose([EndedStep(ended_at_ms=2_000, command="", line="x")], 1_000, "[3/4] RUN true") == ""


def test_a_step_of_before_the_build_is_another_one() -> None:
    """The same Dockerfile, built again, fails for a reason of its own."""
    assert choose([BOMB], 2_001, "[3/4] RUN /bin/sh /bomb; sleep 300") == ""


def test_commands() -> None:
    """A shell's text, the words of an exec form, and what a shell that ran one command became."""
    assert command_of(["/bin/sh", "-c", "a; b"]) == "a; b"
    assert command_of(["sleep", "100"]) == "sleep 100"
    assert command_of([]) == ""


def test_the_file_keeps_the_latest(tmp_path: Path) -> None:
    """Bounded, and no error for a reader when it is absent or damaged."""
    path = tmp_path / "ended-steps.json"
    assert read(path) == []
    assert watch(None, 0)("x") == ""
    for number in range(MAX_STEPS + 5):
        add(path, EndedStep(ended_at_ms=number, command=f"step {number}", line="line\nof two"))
    kept = read(path)
    assert len(kept) == MAX_STEPS
    assert kept[-1].ended_at_ms == MAX_STEPS + 4
    assert watch(path, MAX_STEPS + 4)(f"RUN step {MAX_STEPS + 4}") == "line\nof two"
    path.write_text('[{"ended_at_ms": 1}]')
    assert read(path) == []
