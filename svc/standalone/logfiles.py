"""Bounded log files. Their writers outlive us with the file open, so a full one is copied aside and emptied."""

import asyncio
import logging
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 5.0


def trim(path: Path, max_bytes: int) -> bool:
    """Move the content of a file that is over `max_bytes` to `<name>.1`. True if it did.

    Writers append (O_APPEND), so they go on at the new end. Lines written between copy and cut are lost.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    older = path.with_name(path.name + ".1")
    older.touch(mode=0o600)
    shutil.copyfile(path, older)
    with path.open("r+b") as file:
        file.truncate(0)
    return True


async def keep_trimmed(directory: Path, max_bytes: int) -> None:
    """Watch every `*.log` of a directory. Runs until cancelled."""
    while True:
        for path in directory.glob("*.log"):
            try:
                trim(path, max_bytes)
            except OSError as error:
                log.warning("log file %s could not be put aside: %s", path, error)
        await asyncio.sleep(CHECK_INTERVAL_S)
