"""`sealift-admin`: what is done to an installation's database from outside of a service, on any database.

    sealift-admin migrate       before the services of a new version start; they do the same, one after another
    sealift-admin restored      after a backup was copied back, before the next start
    sealift-admin check         whether the database is whole, and not of a newer version
    sealift-admin installation  the installation's id, e.g. to find its containers by their label

Exit codes: 0 done, 1 not, 2 wrong usage or configuration.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from pkg import filelock, installation
from pkg.config import ConfigError, load
from pkg.db import Database, migrate, offline
from pkg.db.faults import DamagedError
from svc.api.config import ApiConfig

# Of a one-machine installation: its supervisor holds the lock while it runs.
DATABASE_FILE = "control.db"
LOCK_FILE = "lock"
_ADVICE = (
    ": api and worker don't start with it, and nothing replaces it. Apps keep running. Restore a backup: "
    "docs/operating.md, Backup and restore."
)


class RefusedError(Exception):
    """The command was not carried out; says why and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        url = _database(parser, given)
        match given.command:
            case "restored":
                return _restored(url)
            case "migrate":
                return _migrate(url)
            case "check":
                return _check(url, as_json=given.json)
            case _:
                return _installation(url)
    except DamagedError as error:
        return _fail(error.message, 1)
    except ConfigError as error:
        return _fail(error.message, 2)
    except (RefusedError, OSError) as error:
        return _fail(str(error), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sealift-admin", description="Offline administration of an installation.")
    parser.add_argument("command", choices=["migrate", "restored", "check", "installation"])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, metavar="FILE", help="the api's TOML configuration (env SEALIFT_CONFIG)")
    where.add_argument(
        "--state-dir", type=Path, metavar="DIR", help="of a one-machine installation (env SEALIFT_STATE_DIR)"
    )
    parser.add_argument("--json", action="store_true", help="check: one JSON object")
    return parser


def _database(parser: argparse.ArgumentParser, given: argparse.Namespace) -> str:
    """The database's URL."""
    config, state = given.config, given.state_dir
    if config is None and state is None:
        config, state = os.environ.get("SEALIFT_CONFIG"), os.environ.get("SEALIFT_STATE_DIR")
    if config is not None:
        return load(Path(config), ApiConfig).database.url.reveal()
    if state is None:
        parser.error("which installation? Give --state-dir of a one-machine installation, or --config of the api")
    return f"sqlite:///{Path(state).absolute() / DATABASE_FILE}"


def _migrate(url: str) -> int:
    """Forward only, in one transaction; makes a missing database. May be repeated, also while services run."""

    async def run() -> None:
        database = Database.open(url)
        try:
            await database.migrate()
        finally:
            await database.close()

    try:
        asyncio.run(run())
    except SQLAlchemyError as error:
        raise RefusedError(f"the database can't be migrated: {getattr(error, 'orig', None) or error}") from error
    _say("The database has the schema of this version.")
    return 0


def _restored(url: str) -> int:
    """Gives the database a new epoch, so that kranes discard what they received after the backup was made.

    May be repeated: each run costs each krane one complete snapshot.
    """
    path = offline.path_of(url)
    held = None
    if path is not None:
        if not path.is_file():
            raise RefusedError(f"{path} is missing: copy the backup into {path.parent} first.")
        held = filelock.acquire(path.parent / LOCK_FILE)
        if held is None:
            raise RefusedError(f"{path.parent} is in use by a supervisor: stop the stack first, then run this again.")
    try:
        is_changed = offline.write_alone(url, installation.renew_epoch)
    except offline.InUseError as error:
        raise RefusedError(f"{error}: stop every api and worker first, then run this again.") from error
    except SQLAlchemyError as error:
        raise RefusedError(f"the database can't be changed: {getattr(error, 'orig', None) or error}") from error
    finally:
        if held is not None:
            os.close(held)
    if not is_changed:
        raise RefusedError("The database holds no installation: it was never started. No new epoch is needed then.")
    _say("The database has a new epoch. Start the stack: every krane begins from a complete snapshot.")
    return 0


def _check(url: str, *, as_json: bool) -> int:
    found = offline.problem(url)
    problem = found + _ADVICE if found else _newer(url)
    _say(json.dumps({"problem": problem}) if as_json else problem or "The database is whole.")
    return 1 if problem else 0


def _newer(url: str) -> str:
    """That a newer version has upgraded the database; "" if not, or if it can't be read right now."""
    path = offline.path_of(url)
    if path is not None and not path.is_file():
        return ""
    try:
        offline.read(url, migrate.check_known)
    except migrate.NewerError as error:
        return error.message
    except SQLAlchemyError:
        return ""
    return ""


def _installation(url: str) -> int:
    """Prints nothing before the first start of the api."""
    path = offline.path_of(url)
    if path is not None and not path.is_file():
        return 0
    try:
        found = offline.read(url, installation.find_id)
    except SQLAlchemyError as error:
        raise RefusedError(f"the database can't be read: {getattr(error, 'orig', None) or error}") from error
    if found:
        _say(found)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"sealift-admin: {message}\n")
    return code
