"""What git says about a directory. Best effort: no git, no repository or a slow disk only means less is known."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 3.0
MAX_OUTPUT_BYTES = 32 << 20
# The server's bounds on a commit's time: not seconds sent by mistake, not over an hour ahead.
MIN_TIMESTAMP_MS = 1_000_000_000_000
MAX_AHEAD_MS = 3_600_000
MAX_MESSAGE = 10_240
MAX_HANDLE = 256


@dataclass(frozen=True)
class GitInfo:
    """A checkout. Every field is None when git did not say.

    Attributes:
        commit_sha: 40 (or 64) lower-case hex digits.
        branch: None on a detached HEAD, too.
        message: subject line of the commit.
        author: name of its author.
        timestamp_ms: of the commit, epoch milliseconds.
        is_dirty: whether tracked files differ from the commit.
    """

    commit_sha: str | None = None
    branch: str | None = None
    message: str | None = None
    author: str | None = None
    timestamp_ms: int | None = None
    is_dirty: bool | None = None


def read_git(directory: Path, commit: str | None = None) -> GitInfo:
    """What git knows of `directory`, or of `commit` (7..64 hex digits) in its repository."""
    head = _run(directory, "log", "-1", "--no-show-signature", "--format=%H%x00%s%x00%an%x00%ct", commit or "HEAD")
    fields = (head or b"").decode("utf-8", "replace").rstrip("\n").split("\0")
    if len(fields) != 4:
        return GitInfo(commit_sha=commit)
    branch = _run(directory, "symbolic-ref", "--short", "-q", "HEAD")
    status = None if commit else _run(directory, "status", "--porcelain", "--untracked-files=no")
    return GitInfo(
        commit_sha=fields[0],
        branch=branch.decode("utf-8", "replace").strip() or None if branch else None,
        message=fields[1][:MAX_MESSAGE] or None,
        author=fields[2][:MAX_HANDLE] or None,
        timestamp_ms=_timestamp_ms(fields[3]),
        is_dirty=None if status is None else bool(status.strip()),
    )


def ignored_paths(directory: Path) -> frozenset[str] | None:
    """Paths below `directory` that git ignores, relative to it; None when it is in no repository.

    An ignored directory is one path, without a slash at its end.
    """
    listed = _run(
        directory, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", timeout_s=20.0
    )
    if listed is None:
        return None
    return frozenset(os.fsdecode(path).rstrip("/") for path in listed.split(b"\0") if path)


def _timestamp_ms(seconds: str) -> int | None:
    """A commit's time if the server would take it: clocks of other machines can be far off."""
    if not seconds.isdigit():
        return None
    stamp = int(seconds) * 1000
    return stamp if MIN_TIMESTAMP_MS <= stamp <= time.time() * 1000 + MAX_AHEAD_MS else None


def _run(directory: Path, *args: str, timeout_s: float = TIMEOUT_S) -> bytes | None:
    """Output of one git command, None when it failed for whatever reason."""
    command: Sequence[str] = ("git", "-C", str(directory), *args)
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, env=env, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0 or len(done.stdout) > MAX_OUTPUT_BYTES:
        return None
    return done.stdout
