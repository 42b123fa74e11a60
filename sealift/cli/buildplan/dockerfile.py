"""The lines that all generated Dockerfiles share.

They need no more than the syntax that the BuildKit of Docker 20.10 has built in, so no image of a frontend is pulled.
Only fixed text, checked versions, checked paths and JSON arrays get into them.
"""

import re
from collections.abc import Iterable, Sequence

from sealift.cli.buildplan.model import Settings, Start

HEADER = "# Written by Sealift for an app without a Dockerfile; `sealift init --dockerfile` keeps it, to be edited."
BREAK = "\n"
UID = 10001
HOME = "/home/app"
# By hand, because the commands that add users differ between distributions.
_ADD_USER = (
    f"RUN echo 'app:x:{UID}:{UID}:app:{HOME}:/bin/sh' >> /etc/passwd && echo 'app:x:{UID}:' >> /etc/group"
    f" && mkdir -p /app {HOME} && chown {UID}:{UID} /app {HOME}"
)
_PATH = re.compile(r"[A-Za-z0-9_./+-]+")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def text_of(lines: Iterable[str]) -> str:
    """A Dockerfile of these lines; "" is left out, BREAK is an empty line."""
    return "\n".join((HEADER, *(line.strip("\n") for line in lines if line))) + "\n"


def base(image: str, version: str = "", stage: str = "") -> str:
    """FROM, with the version in the image's name."""
    return f"FROM {image.replace('{version}', version)}" + (f" AS {stage}" if stage else "")


def arguments(settings: Settings) -> list[str]:
    """The build arguments of the user as variables of the steps that follow."""
    return [f"ARG {name}" for name in settings.build_args if _ARGUMENT.fullmatch(name)]


def packages(names: Sequence[str]) -> str:
    """Debian packages that the build or the app needs; "" for none."""
    if not names:
        return ""
    return (
        "RUN apt-get update && apt-get install -y --no-install-recommends "
        f"{' '.join(sorted(set(names)))} && rm -rf /var/lib/apt/lists/*"
    )


def user() -> list[str]:
    """A user `app` of its own, and a directory /app that is its."""
    return [_ADD_USER, f"ENV HOME={HOME}", "WORKDIR /app"]


def as_user() -> str:
    """All that follows runs as the user `app`."""
    return f"USER {UID}:{UID}"


def copy(*paths: str, target: str = "./") -> str:
    """COPY of paths of the context, which then belong to the user `app`."""
    return f"COPY --chown={UID}:{UID} {' '.join(paths)} {target}"


def copy_all() -> str:
    """COPY of the whole context."""
    return f"COPY --chown={UID}:{UID} . ."


def is_plain(path: str) -> bool:
    """Whether a path may stand in a COPY as it is, and is inside the context."""
    return _PATH.fullmatch(path) is not None and not path.startswith("/") and ".." not in path.split("/")


def cached(target: str, command: str, *, owner: int = 0) -> str:
    """RUN of a command that keeps a directory between builds."""
    who = f",uid={owner},gid={owner}" if owner else ""
    return f"RUN --mount=type=cache,target={target}{who} {command}"


def command(start: Start) -> str:
    """CMD."""
    return f"CMD {start.array}"
