"""The app containers of this installation, found by the label that krane gives them."""

import contextlib
import sqlite3
from pathlib import Path

from svc.standalone.engine import remove_containers
from svc.standalone.statedir import StateDir

LABEL = "sealift.installation"


def installation_id(state: StateDir) -> str | None:
    """From the database; None before the first start of the api."""
    path = state.root / "control.db"
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as database:
        try:
            row = database.execute("SELECT installation_id FROM installation").fetchone()
        except sqlite3.OperationalError:
            return None
    return str(row[0]) if row else None


async def remove(state: StateDir, engine_socket: Path) -> int:
    """Remove the containers of this installation; returns how many.

    Raises:
        OSError: the engine does not answer, or refuses.
    """
    installation = installation_id(state)
    return await remove_containers(engine_socket, f"{LABEL}={installation}") if installation else 0
