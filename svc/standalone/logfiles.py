"""Bounded log files. Their writers outlive us with the file open, so a full one is copied aside and emptied."""

import asyncio
import json
import logging
import os
import shutil
from pathlib import Path

from svc.standalone.files import FULL

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 5.0
LAST_ERROR_BYTES = 256 * 1024  # of the end of a log that are searched
LAST_ERROR_CHARS = 500


def open_log(path: Path) -> int:
    """A file descriptor to append to; on a full disk without a log file yet, one that forgets what is written.

    Raises:
        OSError: the file can't be opened for another reason.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        if error.errno not in FULL:
            raise
        return os.open(os.devnull, os.O_WRONLY)


def last_error(path: Path, since: int = 0) -> str:
    """The last error that a service logged: the message, or of an exception its last line. "" if there is none.

    Args:
        path: of its log, one JSON object a line. Other lines are ignored.
        since: size of the log when the service started; a smaller file has been trimmed since.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= size else 0, size - LAST_ERROR_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        if b'"error"' not in line:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") == "error":
            text = str(entry.get("exc", "")).strip().splitlines()[-1:] or [str(entry.get("msg", ""))]
            return text[0][:LAST_ERROR_CHARS]
    return ""


def trim(path: Path, max_bytes: int) -> bool:
    """Move the content of a file that is over `max_bytes` to `<name>.1`. True if it did.

    Writers append (O_APPEND), so they write at the new end. Lines written between copy and cut are lost; on a full disk
    the whole content is.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    older = path.with_name(path.name + ".1")
    try:
        older.touch(mode=0o600)
        shutil.copyfile(path, older)
    except OSError as error:
        if error.errno not in FULL:
            raise
        # The bound is what gives space back; half of an old log file is worth less.
        older.unlink(missing_ok=True)
        log.warning("the disk is full: %s was emptied without a copy", path)
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
