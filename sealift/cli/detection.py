"""Detects how a directory says that its app is built and started. Files are read, never executed."""

import json
import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from sealift.cli.text import clean

MAX_DEPTH = 2
MAX_SCANNED_ENTRIES = 2000
_SKIPPED = frozenset({"node_modules", "vendor", "venv", "target", "dist"})
MAX_READ_BYTES = 256 << 10
MAX_COMMAND_CHARS = 160  # a longer one is for its file to tell
COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_PROCESS = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(\S.*)")
_SHELL = re.compile(r"[$`|&;<>()*?~#\\\n]")
_LIST = re.compile(r"[|&;()\n]")  # what `exec` would cover the first command of only


@dataclass(frozen=True)
class StartCommand:
    """What one file says.

    Attributes:
        source: the file.
        says: where in it, with its own words, e.g. `the start script "node server.js"`.
        command: as a Dockerfile's CMD and as [run] command take it; empty: the file is to be read by the user.
    """

    source: str
    says: str
    command: tuple[str, ...] = ()

    @property
    def array(self) -> str:
        """The command as JSON, which is TOML as well."""
        return json.dumps(self.command, ensure_ascii=False)

    def advice(self) -> str:
        """The line to write, for an app whose Dockerfile names no command or another one."""
        if not self.command:
            return f"{self.source} may say how it is started ({self.says}): write that as CMD into the Dockerfile"
        return (
            f"{self.source} has {self.says}: let the Dockerfile end with CMD {self.array} (or give the same array to "
            "[run] command in sealift.toml)"
        )


@dataclass
class DetectedFiles:
    """Names, relative to the directory.

    Attributes:
        has_dockerfile: in the directory itself, under its usual name.
        dockerfiles: others, there and below.
        compose: the compose file, "".
        procfile: "Procfile", "".
        start: how one of the files there says that the app is started, None.
    """

    has_dockerfile: bool = False
    dockerfiles: list[str] = field(default_factory=list)
    compose: str = ""
    procfile: str = ""
    start: StartCommand | None = None

    def lines(self) -> list[str]:
        """For people who wonder what is made of them, in sentences."""
        said = []
        if self.dockerfiles and not self.has_dockerfile:
            one = self.dockerfiles[0]
            folder, _, name = one.rpartition("/")
            words = folder if folder and name == "Dockerfile" else f"--dockerfile {one}"
            said.append(f"found {_listed(self.dockerfiles)}: `sealift deploy {words}` uses it")
        if self.start and self.start.command and not self.has_dockerfile:
            said.append(
                f"found {self.start.source} with {self.start.says}: as the end of a Dockerfile that is "
                f"CMD {self.start.array}"
            )
        unread = [name for name in (self.compose, self.procfile) if name]
        if unread:
            said.append(
                f"found {' and '.join(unread)}: {'it is' if len(unread) == 1 else 'they are'} not obeyed yet. The "
                "Dockerfile says how the app is built and started; [run] command in sealift.toml replaces its command"
            )
        return said


def detect(root: Path) -> DetectedFiles:
    """What there is in `root` and two levels below, hidden folders and those of packages left out; never raises."""
    found = DetectedFiles(start=detect_start_command(root))
    left = MAX_SCANNED_ENTRIES
    for directory, folders, names in os.walk(root):
        inside = os.path.relpath(directory, root)
        depth = 0 if inside == "." else inside.count(os.sep) + 1
        is_deepest = depth == MAX_DEPTH
        folders[:] = sorted(n for n in folders if not (is_deepest or n.startswith(".") or n in _SKIPPED))
        for name in sorted(names):
            path = name if depth == 0 else f"{inside}/{name}"
            if depth == 0:
                found.has_dockerfile |= name == "Dockerfile"
                found.compose = found.compose or (name if name in COMPOSE else "")
                found.procfile = found.procfile or (name if name == "Procfile" else "")
            if path != "Dockerfile" and _is_dockerfile(name):
                found.dockerfiles.append(path)
        left -= len(names) + len(folders)
        if left < 0:
            break
    return found


def _is_dockerfile(name: str) -> bool:
    lower = name.lower()
    if lower.endswith(".dockerignore"):
        return False
    return lower in ("dockerfile", "containerfile") or lower.startswith("dockerfile.") or lower.endswith(".dockerfile")


def _listed(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def detect_start_command(root: Path) -> StartCommand | None:
    """What the first of Procfile, package.json and a compose file says in `root`; None: nothing. Never raises."""
    return _of_procfile(root) or _of_package(root) or _of_compose(root)


def _of_procfile(root: Path) -> StartCommand | None:
    text = _read(root / "Procfile")
    found = [_PROCESS.fullmatch(line.strip()) for line in text.splitlines()]
    processes = {process[1]: process[2] for process in found if process}
    name = "web" if "web" in processes else next(iter(processes)) if len(processes) == 1 else ""
    if not name or len(processes[name]) > MAX_COMMAND_CHARS:
        return StartCommand("Procfile", "its lines are name: command") if processes else None
    line = clean(processes[name])
    return StartCommand("Procfile", f"the line “{name}: {line}”", _words(line))


def _of_package(root: Path) -> StartCommand | None:
    try:
        package = json.loads(_read(root / "package.json"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(package, dict):
        return None
    scripts, main = package.get("scripts"), package.get("main")
    script = scripts.get("start") if isinstance(scripts, dict) else None
    if isinstance(script, str) and script:
        line = clean(script)
        said = line if len(line) <= MAX_COMMAND_CHARS else f"{line[:MAX_COMMAND_CHARS]}…"
        return StartCommand("package.json", f"the start script “{said}”", ("npm", "start"))
    if isinstance(main, str) and main.endswith((".js", ".mjs", ".cjs")) and _is_file(root / main):
        return StartCommand("package.json", f"the main file {clean(main)}", ("node", clean(main)))
    return None


def _of_compose(root: Path) -> StartCommand | None:
    name = next((name for name in COMPOSE if _is_file(root / name)), "")
    return StartCommand(name, "command: of its service") if name else None


def _words(line: str) -> tuple[str, ...]:
    """The line as an array; with a shell only where it needs one."""
    try:
        words = shlex.split(line)
    except ValueError:
        return ("sh", "-c", line)
    if not _SHELL.search(line) and "=" not in words[0]:
        return tuple(words)
    is_one = not _LIST.search(line) and "=" not in words[0] and words[0] not in ("cd", "exec", "export", ".", "source")
    return ("sh", "-c", f"exec {line}" if is_one else line)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path) -> str:
    """The begin of a regular file; "" where there is none."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(MAX_READ_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""
