"""The app containers of this installation, found by the label that krane gives them."""

import contextlib
import sqlite3
from pathlib import Path

from pkg.docker import Engine
from pkg.docker.labels import INSTALLATION
from svc.standalone.statedir import StateDir


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
    """Remove the containers of this installation, and then their network; returns how many containers.

    Raises:
        OSError: the engine does not answer, or refuses.
    """
    installation = installation_id(state)
    if not installation:
        return 0
    engine = Engine(engine_socket)
    count = await engine.remove_containers(f"{INSTALLATION}={installation}")
    # krane makes it again. An engine has address ranges for some thirty networks only.
    await engine.remove_networks(f"{INSTALLATION}={installation}")
    return count
