"""How the files of an app say that it is started, for an image that does not. They are read, never run."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from sealift.cli.text import clean

MAX_READ_BYTES = 256 << 10
MAX_COMMAND_CHARS = 160  # a longer one is for its file to tell
COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_PROCESS = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(\S.*)")
_SHELL = re.compile(r"[$`|&;<>()*?~#\\\n]")
_LIST = re.compile(r"[|&;()\n]")  # what `exec` would cover the first command of only


@dataclass(frozen=True)
class Start:
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


def start_of(root: Path) -> Start | None:
    """What the first of Procfile, package.json and a compose file says in `root`; None: nothing. Never raises."""
    return _of_procfile(root) or _of_package(root) or _of_compose(root)


def _of_procfile(root: Path) -> Start | None:
    text = _read(root / "Procfile")
    found = [_PROCESS.fullmatch(line.strip()) for line in text.splitlines()]
    processes = {process[1]: process[2] for process in found if process}
    name = "web" if "web" in processes else next(iter(processes)) if len(processes) == 1 else ""
    if not name or len(processes[name]) > MAX_COMMAND_CHARS:
        return Start("Procfile", "its lines are name: command") if processes else None
    line = clean(processes[name])
    return Start("Procfile", f"the line “{name}: {line}”", _words(line))


def _of_package(root: Path) -> Start | None:
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
        return Start("package.json", f"the start script “{said}”", ("npm", "start"))
    if isinstance(main, str) and main.endswith((".js", ".mjs", ".cjs")) and _is_file(root / main):
        return Start("package.json", f"the main file {clean(main)}", ("node", clean(main)))
    return None


def _of_compose(root: Path) -> Start | None:
    name = next((name for name in COMPOSE if _is_file(root / name)), "")
    return Start(name, "command: of its service") if name else None


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
