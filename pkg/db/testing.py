"""Real databases for tests: SQLite files, and a PostgreSQL server of the tests' own."""

import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from pkg.db import migrate
from pkg.db.database import Database
from pkg.db.engine import create_engine

START_TIMEOUT_S = 90.0
# Debian's package has them outside of PATH; the newest one last.
_DEBIAN = "/usr/lib/postgresql"
_USER = "sealift"
_TEMPLATE = "migrated"
# Whatever ends the tests, the pipe is closed then.
_BOUND = '"$0" "$@" </dev/null & read -r _; kill -QUIT $!; wait; rm -rf "$PWD"'
# Nothing survives a crash, and nothing has to; the clients of one test need few connections.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "autovacuum": "off",
}


def fresh_database(directory: Path) -> Database:
    """An empty migrated SQLite database in `directory`. Close it."""
    return Database.open(f"sqlite:///{fresh_file(directory)}")


def fresh_file(directory: Path) -> Path:
    """The file of an empty migrated SQLite database in `directory`, a copy: migrations take longer than most tests."""
    path = directory / "control.db"
    path.write_bytes(_migrated_file())
    return path


@functools.cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory(prefix="slm-") as folder:
        engine = create_engine(f"sqlite:///{folder}/control.db")
        migrate.upgrade(engine)
        engine.dispose()
        return (Path(folder) / "control.db").read_bytes()


def find_programs() -> Path:
    """The folder of initdb and postgres: Debian's, else that of PATH. Raises FileNotFoundError, never skips."""
    folders = sorted(Path(_DEBIAN).glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = shutil.which("initdb")
    folders += [Path(found).resolve().parent] if found else []
    for folder in folders:
        if os.access(folder / "postgres", os.X_OK) and os.access(folder / "initdb", os.X_OK):
            return folder
    raise FileNotFoundError(
        "PostgreSQL is missing, and every query is tested on it: install it (`make test` does as root on Debian; "
        "apt-get install postgresql-15), or have initdb and postgres of version 15 or newer in PATH"
    )


class PostgresqlServer:
    """A server on a unix socket, for one session of tests. Its databases sort text as a language does, not by bytes.

    Attributes:
        folder: everything it writes.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slp-", dir="/tmp"))
        self._owner = _unprivileged()
        self._programs = find_programs()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def start(self) -> None:
        """Returns once it answers. Raises RuntimeError with the end of its log."""
        if self._owner is not None:
            shutil.chown(self.folder, *self._owner)
        data, log = self.folder / "data", self.folder / "server.log"
        locale = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]
        made = self._run("initdb", "-D", str(data), "-U", _USER, "--auth=trust", "--no-sync", *locale)
        if made.wait(START_TIMEOUT_S) != 0:
            raise RuntimeError("initdb failed:\n" + log.read_text(errors="replace")[-3000:])
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._process = self._run("postgres", "-D", str(data), "-k", str(self.folder), *options, is_bound=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self._execute(sql.SQL("SELECT 1"))
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                self._make_template()
                return
        self.stop()
        raise RuntimeError("postgres did not start:\n" + log.read_text(errors="replace")[-3000:])

    def stop(self) -> None:
        """Ends the server with all its connections, and removes its files. Idempotent."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(START_TIMEOUT_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """For `pkg.db.Database.open`."""
        return f"postgresql://{_USER}@/{database}?host={self.folder}"

    @contextmanager
    def database(self, *, is_migrated: bool = True) -> Iterator[str]:
        """The URL of a new database, dropped afterwards with all its connections."""
        self._databases += 1
        name = f"test_{self._databases}"
        template = _TEMPLATE if is_migrated else "template0"
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield self.url(name)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _make_template(self) -> None:
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(_TEMPLATE)))
        engine = create_engine(self.url(_TEMPLATE))
        migrate.upgrade(engine)
        engine.dispose()

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str, is_bound: bool = False) -> subprocess.Popen[bytes]:
        """Starts a program of PostgreSQL. `is_bound`: it ends with this process, or once its stdin is closed."""
        command = [str(self._programs / program), *arguments]
        uid, gid = self._owner or (None, None)
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                ["sh", "-c", _BOUND, *command] if is_bound else command,
                cwd=self.folder,
                user=uid,
                group=gid,
                extra_groups=None if gid is None else [gid],
                stdin=subprocess.PIPE if is_bound else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def _unprivileged() -> tuple[int, int] | None:
    """The user that runs the server, which refuses to run as root: `nobody`; None for the user of the tests."""
    if os.geteuid() != 0:
        return None
    import pwd

    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid
