"""Errors of the database file itself, a full disk or damage; their messages name its path."""

import os
import sqlite3
from pathlib import Path

from sqlalchemy.exc import DatabaseError, OperationalError

from pkg.config import ConfigError

# Below this, SQLite's other complaints about its files are those of a full disk.
FULL_BELOW_BYTES = 1 << 20
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_FILES = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


class DiskFullError(OperationalError):
    """The database's disk is full; nothing was written. `path` is the database's."""

    def __init__(self, path: str, error: DatabaseError) -> None:
        super().__init__(error.statement, None, error.orig or error)
        self.path = path


class DamagedError(ConfigError):
    """The database can't be read and will not become readable by itself. It is never replaced by an empty one."""

    def __init__(self, path: str, why: object) -> None:
        super().__init__(
            "database.damaged",
            f"the database {path} is damaged ({why}). It holds projects, deployments and keys, so nothing replaces it "
            "by an empty one: restore a backup, see docs/operating.md, Backup and restore. Apps keep running.",
        )
        self.path = path


def classified(error: DatabaseError, path: str | None) -> Exception:
    """DiskFullError or DamagedError if `error` of a SQLite file is one, else `error` itself."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if path is None or code is None:
        return error
    primary = code & 0xFF
    if primary in _DAMAGE or (primary == sqlite3.SQLITE_CANTOPEN and Path(path).is_dir()):
        return DamagedError(path, error.orig)
    if primary == sqlite3.SQLITE_FULL or (primary in _FILES and free_bytes(path) < FULL_BELOW_BYTES):
        return DiskFullError(path, error)
    return error


def free_bytes(path: str) -> int:
    """Free bytes of the disk that a file is on, for this user. Raises OSError."""
    found = os.statvfs(Path(path).parent)
    return found.f_bavail * found.f_frsize
