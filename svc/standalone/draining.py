"""The mark of a drain, in the database of the api: while it is there, intents are recorded and not begun.

`drain` sets it; the next start takes it away once every process works. Written with the standard library's sqlite3: the
supervisor loads nothing larger.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from pkg.clock import now_ms
from svc.standalone.errors import StartupError
from svc.standalone.statedir import StateDir

BUSY_TIMEOUT_S = 10.0
BRIEF_S = 0.2  # how long the supervisor's loop may stand still
RETRY_S = 1.0

# Whatever has no outcome. A build of a deployment ends with it.
_OPEN = """
SELECT i.id, i.what, i.status, x.invocation_id IS NOT NULL FROM (
  SELECT id, 'deploy' AS what, status, 'Deploy' AS workflow FROM deployments
    WHERE status NOT IN ('ready', 'failed', 'cancelled', 'superseded')
  UNION ALL SELECT id, kind, status, 'Switch' FROM operations WHERE status NOT IN ('done', 'failed')
  UNION ALL SELECT id, 'build', status, 'Build' FROM builds
    WHERE deployment_id IS NULL AND status NOT IN ('succeeded', 'failed', 'cancelled')
) i LEFT JOIN dispatches x ON x.workflow = i.workflow AND x.key = i.id ORDER BY i.id
"""
_OUTCOME = """
SELECT status FROM deployments WHERE id = :id UNION ALL SELECT status FROM operations WHERE id = :id
UNION ALL SELECT status FROM builds WHERE id = :id
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intent:
    """A deploy, an operation or a build without an outcome.

    Attributes:
        what: deploy, build, or the operation's kind: promote, rollback, stop.
        is_begun: the workflow engine has it, or had it.
    """

    id: str
    what: str
    status: str
    is_begun: bool


def mark(state: StateDir) -> None:
    """Begin a drain; one that goes on keeps its time. Idempotent.

    Raises:
        StartupError: the database can't be written, or is of an api that knows nothing of this.
    """
    with _writing(state, BUSY_TIMEOUT_S) as database:
        database.execute("UPDATE installation SET draining_since = ? WHERE draining_since IS NULL", (now_ms(),))


def unmark(state: StateDir, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
    """End it: what was recorded begins at once. Idempotent. Raises as `mark`."""
    with _writing(state, busy_timeout_s) as database:
        database.execute("UPDATE installation SET draining_since = NULL WHERE draining_since IS NOT NULL")


async def end_for_certain(state: StateDir) -> bool:
    """`unmark`, tried until it works. False: there was no mark."""
    was_told = False
    while True:
        try:
            if since(state, BRIEF_S) is None:
                return False
            unmark(state, BRIEF_S)
        except StartupError as error:
            if not was_told:
                log.warning("the drain can't be ended yet: %s", error)
                was_told = True
            await asyncio.sleep(RETRY_S)
        else:
            return True


def since(state: StateDir, busy_timeout_s: float = BUSY_TIMEOUT_S) -> int | None:
    """When the drain began, epoch ms; None: none goes on. Raises StartupError: the database can't be read."""
    with _reading(state, busy_timeout_s) as database:
        if database is None or not _knows_drains(database):
            return None
        row = database.execute("SELECT draining_since FROM installation").fetchone()
        return None if row is None or row[0] is None else int(row[0])


def intents(state: StateDir) -> list[Intent]:
    """All without an outcome, oldest first. Raises StartupError: the database can't be read."""
    with _reading(state) as database:
        rows = [] if database is None else database.execute(_OPEN).fetchall()
    return [Intent(ident, what, status, bool(sent) or status != "pending") for ident, what, status, sent in rows]


def outcome(state: StateDir, ident: str) -> str:
    """The status of an intent. Raises StartupError: the database can't be read."""
    with _reading(state) as database:
        row = None if database is None else database.execute(_OUTCOME, {"id": ident}).fetchone()
    return str(row[0]) if row else "gone"


@contextlib.contextmanager
def _writing(state: StateDir, busy_timeout_s: float) -> Iterator[sqlite3.Connection]:
    path = state.root / "control.db"
    if not path.is_file():
        raise StartupError(f"{path} is missing: no stack was ever started in {state.root}.")
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=busy_timeout_s)) as database, database:
            if not _knows_drains(database):
                raise StartupError(
                    f"{path} is older than this code and knows no drain: start the stack with this code once."
                )
            yield database
    except sqlite3.Error as error:
        raise StartupError(f"{path} can't be changed: {error}.") from error


@contextlib.contextmanager
def _reading(state: StateDir, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[sqlite3.Connection | None]:
    path = state.root / "control.db"
    if not path.is_file():
        yield None
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=busy_timeout_s)) as database:
            yield database
    except sqlite3.Error as error:
        raise StartupError(f"{path} can't be read: {error}.") from error


def _knows_drains(database: sqlite3.Connection) -> bool:
    return any(row[1] == "draining_since" for row in database.execute("PRAGMA table_info(installation)"))
