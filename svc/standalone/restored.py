"""What a restored backup needs before its first start: an epoch of its own."""

import contextlib
import os
import sqlite3

from pkg.ids import new_id
from svc.standalone.errors import StartupError
from svc.standalone.statedir import StateDir

_BUSY_TIMEOUT_S = 5.0


def new_epoch(state: StateDir) -> None:
    """Let versions of the desired state count anew, so that krane trusts nothing it saw after the backup was made.

    May be repeated: each run costs krane one complete snapshot.

    Raises:
        StartupError: the stack runs, or there is no database of an installation; nothing was changed.
    """
    path = state.root / "control.db"
    if not path.is_file():
        raise StartupError(f"{path} is missing: copy the backup into {state.root} first.")
    held = state.lock()
    try:
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as database, database:
                changed = database.execute("UPDATE installation SET epoch = ?", (new_id("inst"),)).rowcount
        except sqlite3.Error as error:
            raise StartupError(
                f"{path} cannot be changed ({error}): it is no database of Sealift, or damaged."
            ) from error
        if changed != 1:
            raise StartupError(f"{path} holds no installation: it was never started. No epoch is needed then.")
    finally:
        os.close(held)
