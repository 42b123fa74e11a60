"""What the supervisor asks `sealift-admin`, a program of its own: the supervisor itself opens no database."""

import json
import os
import sys
from typing import NoReturn

from svc.standalone.command import ROOT, output
from svc.standalone.statedir import StateDir

TIMEOUT_S = 20.0


def _argv(state: StateDir, *words: str) -> list[str]:
    return [sys.executable, "-m", "build.api.admin", *words, "--state-dir", str(state.root)]


async def database_problem(state: StateDir) -> str:
    """What is wrong with control.db, and what to do; "" when nothing is, or there is none yet. Never raises."""
    try:
        answer = json.loads(await output(_argv(state, "check", "--json"), TIMEOUT_S, cwd=ROOT, allowed=(0, 1)))
        return str(answer["problem"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{state.root / 'control.db'} could not be checked: {error}"


async def installation_id(state: StateDir) -> str:
    """The installation's id; "" before the first start of the api. Raises OSError: the database can't be read."""
    return (await output(_argv(state, "installation"), TIMEOUT_S, cwd=ROOT)).strip()


def become_restored(state: StateDir) -> NoReturn:
    """Become `sealift-admin restored`. Raises OSError."""
    os.chdir(ROOT)
    argv = _argv(state, "restored")
    os.execv(argv[0], argv)  # noqa: S606 - no shell is the point
