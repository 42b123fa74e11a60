"""A command's whole output arrives, failures are reported with its own text, and what hangs is ended."""

import asyncio
import time

import pytest

from svc.standalone import command


async def test_output_larger_than_a_pipe_arrives_whole() -> None:
    """A machine with thousands of packet rules does not hang the supervisor."""
    assert len(await command.output(["/bin/sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"], 10)) == 1_000_000


async def test_failure_carries_the_commands_words() -> None:
    """The operator sees what the program said, not only that it failed."""
    with pytest.raises(OSError, match=r"failed: no such table"):
        await command.output(["/bin/sh", "-c", "echo no such table >&2; exit 3"], 10)
    with pytest.raises(FileNotFoundError):
        await command.output(["/no/such/program"], 10)


async def test_what_hangs_is_ended_and_the_loop_turns() -> None:
    """A lock that another program holds costs a bounded wait, in which everything else continues."""
    began, turns = time.monotonic(), 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    turning = asyncio.create_task(turn())
    with pytest.raises(TimeoutError, match="did not end within"):
        await command.output(["/bin/sleep", "600"], 0.3)
    turning.cancel()
    assert time.monotonic() - began < 60
    assert turns > 1
