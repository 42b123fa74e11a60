"""What the rules find: candidates, and the plan that is built."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from sealift.cli.format.text import clean

MAX_SHOWN_CHARS = 120


class AppKind(Enum):
    """A kind of app; the value is that of [build] kind."""

    PYTHON = "python"
    NODE = "node"
    GO = "go"
    STATIC = "static"


@dataclass(frozen=True)
class Start:
    """How an app is started.

    Attributes:
        line: for people, e.g. "gunicorn app:app".
        command: the same as an array, for CMD.
        source: the file that says so, or [run] command.
    """

    line: str
    command: tuple[str, ...]
    source: str

    @property
    def array(self) -> str:
        """The command as JSON."""
        return json.dumps(self.command, ensure_ascii=False)


@dataclass(frozen=True)
class BaseImages:
    """The images that builds start from; `{version}` stands for the version of the language.

    Attributes:
        python, node, go: build and run apps; of Go, build only.
        go_run: runs what Go has built. glibc, as in the image that builds it.
        static: serves static files; it has nginx.
    """

    python: str = "python:{version}-slim"
    node: str = "node:{version}-slim"
    go: str = "golang:{version}-bookworm"
    go_run: str = "debian:bookworm-slim"
    static: str = "nginx:1.28"


@dataclass(frozen=True)
class Settings:
    """What decides beside the app's files.

    Attributes:
        kind: [build] kind; None: detected.
        bases: the base images.
        base_image: takes the place of the one that the app is built from; "" for none.
        command: [run] command; () if it is not set. It takes the place of a detected start command.
        go_package: [build] go_package, "" if it is not set.
        has_release: [release] command is set, so that of a Procfile does not count.
        build_args: the names of the build arguments, which the steps of the build get as variables.
    """

    kind: AppKind | None = None
    bases: BaseImages = field(default_factory=BaseImages)
    base_image: str = ""
    command: tuple[str, ...] = ()
    go_package: str = ""
    has_release: bool = False
    build_args: tuple[str, ...] = ()

    def base(self, kind: AppKind) -> str:
        """The image that an app of this kind is built from."""
        return self.base_image or str(getattr(self.bases, kind.value))


@dataclass(frozen=True)
class BuildPlan:
    """How an app without a Dockerfile is built and started.

    Attributes:
        kind: of the app.
        title: the language with its version, e.g. "Python 3.12".
        because: the file that says so.
        does: what it does, e.g. "starts gunicorn app:app (Procfile)".
        dockerfile: the whole text; the same files and settings give the same text.
        notes: what a user would not expect.
        release: the release command of the Procfile; () for none, or if it does not count.
        processes: commands of the Procfile's processes beside web, by name.
    """

    kind: AppKind
    title: str
    because: str
    does: str
    dockerfile: str
    notes: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    processes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def sentence(self) -> str:
        """The plan in one line."""
        return clean(f"{self.title} by {self.because}, {self.does}")


@dataclass(frozen=True)
class NoStart:
    """An app whose language is known, but not how it starts.

    Attributes:
        kind: of the app.
        because: the file that says so.
        missing: what was looked for.
    """

    kind: AppKind
    because: str
    missing: str


def shown(line: str) -> str:
    """A command for people, cut after 120 characters."""
    line = clean(" ".join(line.split()))
    return line if len(line) <= MAX_SHOWN_CHARS else f"{line[:MAX_SHOWN_CHARS]}…"
