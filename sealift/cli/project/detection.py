"""Detects from a directory's files how its app is built and started. Files are read, never executed."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from sealift.cli.buildplan.commands import PROCFILE, processes
from sealift.cli.buildplan.files import AppFiles
from sealift.cli.buildplan.processes import command_words
from sealift.cli.format.text import clean

MAX_DEPTH = 2
MAX_SCANNED_ENTRIES = 2000
_SKIPPED = frozenset({"node_modules", "vendor", "venv", "target", "dist"})
MAX_READ_BYTES = 256 << 10
MAX_COMMAND_CHARS = 160  # longer ones are not quoted
COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


@dataclass(frozen=True)
class StartCommand:
    """The start command in one file.

    Attributes:
        source: the file.
        quote: the part of the file that starts the app, quoted, e.g. `the start script "a.sh"`.
        command: for a Dockerfile's CMD and for [run] command; empty if the file is ambiguous.
    """

    source: str
    quote: str
    command: tuple[str, ...] = ()

    @property
    def array(self) -> str:
        """The command as JSON, which is also valid TOML."""
        return json.dumps(self.command, ensure_ascii=False)

    def advice(self) -> str:
        """Advice for an app whose Dockerfile has no command or another one."""
        if not self.command:
            return f"{self.source} may contain the start command ({self.quote}): add it to the Dockerfile as CMD"
        return (
            f"{self.source} has {self.quote}: end the Dockerfile with CMD {self.array}, or set [run] command in "
            "sealift.toml to the same array"
        )


@dataclass
class DetectedFiles:
    """Files found in a directory; paths are relative to it.

    Attributes:
        has_dockerfile: whether the directory itself has a file "Dockerfile".
        dockerfiles: other Dockerfiles, there and below.
        compose: the compose file, or "".
        procfile: "Procfile", or "".
        start: the start command in one of the files, or None.
    """

    has_dockerfile: bool = False
    dockerfiles: list[str] = field(default_factory=list)
    compose: str = ""
    procfile: str = ""
    start: StartCommand | None = None

    def lines(self) -> list[str]:
        """Sentences about what was found and how to use it."""
        sentences = []
        if self.dockerfiles and not self.has_dockerfile:
            one = self.dockerfiles[0]
            folder, _, name = one.rpartition("/")
            target = folder if folder and name == "Dockerfile" else f"--dockerfile {one}"
            sentences.append(f"found {_listed(self.dockerfiles)}: `sealift deploy {target}` uses it")
        if self.compose:
            sentences.append(f"found {self.compose}, which is not supported yet")
        if self.procfile and self.has_dockerfile:
            sentences.append(
                "found Procfile, which is not used: the Dockerfile sets how the app is started, and [run] command in "
                "sealift.toml overrides its command"
            )
        return sentences


def detect(root: Path) -> DetectedFiles:
    """Search `root` and two levels below, except hidden and package directories. Never raises."""
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
    """The start command in Procfile, package.json or a compose file of `root`, in this order. Never raises."""
    return _of_procfile(root) or _of_package(root) or _of_compose(root)


def _of_procfile(root: Path) -> StartCommand | None:
    found = processes(AppFiles.of_texts({PROCFILE: _read(root / PROCFILE)}))
    name = "web" if "web" in found else next(iter(found)) if len(found) == 1 else ""
    if not name or len(found[name]) > MAX_COMMAND_CHARS:
        return StartCommand(PROCFILE, "its lines are name: command") if found else None
    line = clean(found[name])
    return StartCommand(PROCFILE, f"the line “{name}: {line}”", command_words(line))


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
        shown = line if len(line) <= MAX_COMMAND_CHARS else f"{line[:MAX_COMMAND_CHARS]}…"
        return StartCommand("package.json", f"the start script “{shown}”", ("npm", "start"))
    if isinstance(main, str) and main.endswith((".js", ".mjs", ".cjs")) and _is_file(root / main):
        return StartCommand("package.json", f"the main file {clean(main)}", ("node", clean(main)))
    return None


def _of_compose(root: Path) -> StartCommand | None:
    name = next((name for name in COMPOSE if _is_file(root / name)), "")
    return StartCommand(name, "command: of its service") if name else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path) -> str:
    """The beginning of a regular file; "" if there is none."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(MAX_READ_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""
