"""A short command whose output is wanted, without a thread: this process forks, and threads would make that unsafe."""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from svc.standalone.process import identify, wait_ended

# From where `python -m build.api.main` is found.
ROOT = Path(__file__).parents[2]


async def output(
    argv: Sequence[str], timeout_s: float, *, cwd: Path | None = None, allowed: tuple[int, ...] = (0,)
) -> str:
    """What a command prints. It is killed when it takes longer, or when the caller is cancelled.

    Args:
        argv: the program and its arguments.
        timeout_s: for the whole run.
        cwd: where it runs; None: here.
        allowed: exit codes that are no failure.

    Raises:
        OSError: it can't be started, fails, or does not end in time (TimeoutError).
    """
    # Not pipes: a full one would need somebody who reads it meanwhile.
    out, err = os.memfd_create("out"), os.memfd_create("err")
    try:
        # Not asyncio's: before Python 3.12 that waits in a thread.
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd)  # noqa: ASYNC220
        try:
            if identity := identify(process.pid):
                async with asyncio.timeout(timeout_s):
                    await wait_ended(identity)
        except TimeoutError as error:
            raise TimeoutError(f"`{' '.join(argv)}` did not end within {timeout_s:.0f} s") from error
        finally:
            process.kill()  # does nothing to one that has ended: it is not collected yet
            code = process.wait()
        if code not in allowed:
            raise OSError(f"`{' '.join(argv)}` failed: {_read(err).strip() or f'exit code {code}'}")
        return _read(out)
    finally:
        os.close(out)
        os.close(err)


def _read(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")
