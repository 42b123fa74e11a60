"""The git repository that is released from."""

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.releasing.errors import ReleaseError
from dev.releasing.tags import Tag, parse

MAIN = "refs/remotes/origin/main"
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Change:
    """One commit, as a release note lists it."""

    commit: str
    subject: str


@dataclass(frozen=True)
class Repository:
    """A clone; `root` is its top folder. Nothing but `create_tag` changes it."""

    root: Path

    def git(self, *arguments: str) -> str:
        """What git says.

        Raises:
            ReleaseError: git fails; the message is git's.
        """
        done = self._run(arguments)
        if done.returncode:
            raise ReleaseError(f"git {arguments[0]} failed in {self.root}: {done.stderr.strip()}")
        return done.stdout

    def services(self) -> list[str]:
        """Names of the services as their images are called: the folders in build/ that have a main.py."""
        return sorted(path.parent.name.replace("_", "-") for path in (self.root / "build").glob("*/main.py"))

    def images(self) -> list[str]:
        """Names of all images that are released: those of services, and those of ready-made programs."""
        programs = [
            path.parent.name.replace("_", "-")
            for path in (self.root / "build").glob("*/BUILD.bazel")
            if "\nprogram_image(" in path.read_text(encoding="utf-8")
        ]
        return sorted([*self.services(), *programs])

    def commit(self, revision: str) -> str:
        """The whole id of the commit that `revision` leads to.

        Raises:
            ReleaseError: There is none.
        """
        done = self._run(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"])
        if done.returncode:
            raise ReleaseError(f"there is no commit {revision}; fetch it, with all tags (git fetch --tags origin)")
        return done.stdout.strip()

    def commit_time(self, revision: str = "HEAD") -> int:
        """When the commit was made, in seconds since 1970: what reproducible builds use as the time."""
        return int(self.git("log", "-1", "--format=%ct", revision))

    def is_on_main(self, commit: str) -> bool:
        """Whether origin/main contains the commit.

        Raises:
            ReleaseError: This clone has no origin/main, or only part of the history.
        """
        main = self.commit(MAIN)
        if self.git("rev-parse", "--is-shallow-repository").strip() == "true":
            raise ReleaseError("this clone has only part of the history: git fetch --unshallow")
        return self._run(["merge-base", "--is-ancestor", commit, main]).returncode == 0

    def changed_files(self) -> list[str]:
        """Files that differ from HEAD or are not tracked."""
        return [line[3:] for line in self.git("status", "--porcelain=v1", "--untracked-files=all").splitlines()]

    def tags(self, name: str) -> list[Tag]:
        """Release tags of `name`; tags that only look like one count for nothing."""
        found = []
        for line in self.git("tag", "--list", f"{name}/v*").splitlines():
            try:
                found.append(parse(line))
            except ReleaseError:
                continue
        return found

    def changes(self, since: str | None, until: str, paths: Iterable[str]) -> list[Change]:
        """Commits after `since` (from the beginning without it) up to `until` that touch `paths`, newest first."""
        span = f"{since}..{until}" if since else until
        literal = [f":(top,literal){path}" for path in paths]
        log = self.git("log", "--no-merges", "--format=%h%x00%s", span, "--", *literal)
        return [Change(*line.split("\0", 1)) for line in log.splitlines()]

    def create_tag(self, tag: str, message: str, commit: str) -> None:
        """Makes an annotated tag here; the caller pushes it.

        Raises:
            ReleaseError: There is such a tag, or git knows no name to sign it with.
        """
        self.git("tag", "--annotate", "--cleanup=verbatim", "--message", message, tag, commit)

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        command = ["git", "-c", f"safe.directory={self.root}", *arguments]
        # What a hook or another tool set must not lead elsewhere.
        environment = {key: value for key, value in os.environ.items() if key not in {"GIT_DIR", "GIT_WORK_TREE"}}
        return subprocess.run(
            command,
            cwd=self.root,
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env={**environment, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
        )
