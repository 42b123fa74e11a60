"""Start commands in a Procfile and in settings. Pure."""

import re
import shlex

from sealift.cli.buildplan.files import AppFiles
from sealift.cli.buildplan.model import AppKind, Start, shown
from sealift.cli.buildplan.processes import MAX_PROCESSES, command_words, process_name_problem

PROCFILE = "Procfile"
_PROCESS = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(\S.*)")
_NEVER_WEB = frozenset({"release", "worker", "clock", "scheduler"})
_PROGRAMS = {
    AppKind.PYTHON: ("python", "python3", "gunicorn", "uvicorn", "hypercorn", "daphne", "waitress-serve", "flask",
                     "fastapi", "streamlit", "uwsgi", "granian", "uv", "poetry", "pipenv", "chainlit", "panel"),
    AppKind.NODE: ("node", "npm", "npx", "pnpm", "yarn", "next", "nuxt", "tsx", "ts-node", "bun"),
}  # fmt: skip


def processes(files: AppFiles) -> dict[str, str]:
    """The lines of the Procfile: name -> command."""
    found = (_PROCESS.fullmatch(line.strip()) for line in files.text(PROCFILE).splitlines())
    return {process[1]: process[2] for process in found if process}


def web_process(files: AppFiles) -> tuple[str, str] | None:
    """Name and command of the process that serves: `web`, or the only one that may."""
    found = processes(files)
    if "web" in found:
        return "web", found["web"]
    others = [name for name in found if name not in _NEVER_WEB]
    return (others[0], found[others[0]]) if len(found) == len(others) == 1 else None


def given_start(files: AppFiles, command: tuple[str, ...]) -> Start | None:
    """The start command that a user has written: [run] command, else that of the Procfile; None if there is none."""
    if command:
        return Start(shown(shlex.join(command)), command, "[run] command")
    if found := web_process(files):
        return start_of(found[1], PROCFILE)
    return None


def start_of(line: str, source: str) -> Start:
    """The start of a command line as in a shell."""
    return Start(shown(line), command_words(line), source)


def release_of(files: AppFiles) -> tuple[str, ...]:
    """The release command of the Procfile; () for none."""
    line = processes(files).get("release", "")
    return command_words(line) if line else ()


def beside_web(files: AppFiles, *, has_release: bool = False) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The other lines of the Procfile: commands of processes by name, and sentences about what a user would not expect.

    `has_release`: [release] command is set.
    """
    web = web_process(files)
    others = {name: line for name, line in processes(files).items() if not web or name != web[0]}
    said = []
    release = others.pop("release", None)
    if release is not None and has_release:
        said.append("the release command of the Procfile is not run: [release] command is")
    elif release is not None:
        said.append(f"before each deploy starts, {shown(release)} runs (release of the Procfile)")
    started: dict[str, tuple[str, ...]] = {}
    for name, line in others.items():
        label = name.lower().replace("_", "-")
        if process_name_problem(label) or label in started or len(started) == MAX_PROCESSES:
            said.append(f"{shown(name)} of the Procfile is not started: give it a name in [processes] of sealift.toml")
        else:
            started[label] = command_words(line)
    return started, said


def kind_of(start: Start) -> AppKind | None:
    """The kind of app that a command starts, by its program; None if that is not clear."""
    named = start.command[2] if start.command[:2] == ("sh", "-c") and len(start.command) > 2 else ""
    try:
        listed = shlex.split(named) if named else list(start.command)
    except ValueError:
        listed = named.split()
    for word in listed:
        program = word.rpartition("/")[2]
        for kind, programs in _PROGRAMS.items():
            if program in programs:
                return kind
    return None
