"""What lies in a directory that says how its app is built and run, beside a Dockerfile."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from sealift.cli.start_command import COMPOSE, Start, start_of

MAX_DEPTH = 2
MAX_LOOKED_AT = 2000
_SKIPPED = frozenset({"node_modules", "vendor", "venv", "target", "dist"})


@dataclass
class Found:
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
    start: Start | None = None

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


def look(root: Path) -> Found:
    """What there is in `root` and two levels below, hidden folders and those of packages left out; never raises."""
    found = Found(start=start_of(root))
    left = MAX_LOOKED_AT
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
