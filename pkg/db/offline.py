"""The database while no service runs: one transaction that excludes all others, and a check of the file."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from pkg.db import faults
from pkg.db.engine import create_engine

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_MS = 2000
# A check reads every page.
CHECKED_MAX_BYTES = 64 << 20
_OTHERS = """
SELECT application_name, client_addr FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class InUseError(Exception):
    """Another process has the database open."""


def path_of(url: str) -> Path | None:
    """The file of a SQLite database; None for other databases."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def write_alone(url: str, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `fn(connection, …)` as one transaction, provided that no other process has the database open.

    Blocks for 2 s at most while another one holds a lock.

    Raises:
        InUseError: another process has it open; nothing was changed.
        DamagedError: the file is no database, or a damaged one.
        sqlalchemy.exc.SQLAlchemyError: the database can't be used; nothing was changed.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _demand_all)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql" and (others := connection.exec_driver_sql(_OTHERS).all()):
                names = ", ".join(f"{row[0] or 'a client'} at {row[1] or 'this machine'}" for row in others)
                raise InUseError(f"{len(others)} other connections to the database: {names}")
            return fn(connection, *args, **kwargs)
    except DatabaseError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise InUseError(f"another process has {engine.url.database} open") from error
        raise faults.classified(error, engine.url.database) from error
    finally:
        engine.dispose()


def _demand_all(connection: sqlite3.Connection, _record: object) -> None:
    """From the first access on, no other connection may exist, not even an idle one."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")


def read(url: str, fn: Callable[[Connection], T]) -> T:
    """Runs `fn(connection)` as one read-only transaction, also while services run. Raises SQLAlchemyError."""
    engine = create_engine(url)
    try:
        with engine.connect().execution_options(sealift_read_only=True) as connection, connection.begin():
            return fn(connection)
    finally:
        engine.dispose()


def problem(url: str) -> str:
    """What is wrong with the database itself; "" when nothing is, or there is none yet. Changes nothing.

    A SQLite file is read as a whole up to 64 MiB, beyond that only its head. A database that is merely busy, or on a
    full disk, is not called damaged: the services say what it is.
    """
    path = path_of(url)
    if path is None:
        try:
            read(url, lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
        except SQLAlchemyError as error:
            return f"the database does not answer: {getattr(error, 'orig', None) or error}"
        return ""
    try:
        if not path.exists():
            return ""
        why = _check(path) if path.is_file() else "it is no file"
    except sqlite3.OperationalError:
        return ""
    except (sqlite3.Error, OSError) as error:
        why = str(error)
    return f"{path} is damaged ({why})" if why else ""


def _check(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.5)) as opened:
        pragma = "quick_check(1)" if path.stat().st_size <= CHECKED_MAX_BYTES else "schema_version"
        found = opened.execute(f"PRAGMA {pragma}").fetchone()[0]
    return "" if isinstance(found, int) or found == "ok" else str(found).strip().splitlines()[-1]
