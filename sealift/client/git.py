"""Reads a directory's commit and branch (`read_git`) and ignored paths (`GitIgnored`) from git.

Without a repository, both are empty. If there is a repository that git can't read, for whatever reason (it belongs to
another user, git is not installed, the repository is damaged, git takes too long), both raise `git.unavailable`:
otherwise files like `.env` would be sent, and the deployment would have a wrong branch.

Git runs without the variables of a calling hook, without network, and without programs that the repository's own
configuration names (fsmonitor, hooks, filters), because the directory may be untrusted.
"""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sealift.client.errors import InputError

TIMEOUT_S = 10.0
STATUS_TIMEOUT_S = 5.0  # only shows whether there are uncommitted changes
IGNORED_TIMEOUT_S = 60.0
MAX_OUTPUT_BYTES = 32 << 20
# The server's limits on a commit's time: milliseconds, at most an hour ahead.
MIN_TIMESTAMP_MS = 1_000_000_000_000
MAX_AHEAD_MS = 3_600_000
MAX_MESSAGE = 10_240
MAX_HANDLE = 256

# Other GIT_* variables may come from a hook, and refer to the hook's repository.
_KEPT_VARIABLES = frozenset({"GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"})
# Of the configuration in variables (GIT_CONFIG_COUNT, ...): trusted directories, and the user's ignore file.
_KEPT_SETTINGS = frozenset({"safe.directory", "core.excludesfile"})
_NO_FOREIGN_PROGRAMS = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}")
_SAFE_DIRECTORY = re.compile(r"git config --global --add safe\.directory (.+)")
_NO_GIT = "Or use --no-git: then only .dockerignore excludes files, and --branch sets the branch"


@dataclass(frozen=True)
class GitInfo:
    """A checkout. Fields that don't apply are None; without a repository, all are.

    Attributes:
        commit_sha: 40 (or 64) lower-case hex digits; None before the first commit.
        branch: None on a detached HEAD.
        message: subject line of the commit.
        author: name of its author.
        timestamp_ms: of the commit, epoch milliseconds.
        is_dirty: whether tracked files differ from the commit; None: unknown.
        is_detached: whether HEAD is a commit and not a branch.
    """

    commit_sha: str | None = None
    branch: str | None = None
    message: str | None = None
    author: str | None = None
    timestamp_ms: int | None = None
    is_dirty: bool | None = None
    is_detached: bool = False


def read_git(directory: Path, commit: str | None = None) -> GitInfo:
    """The commit and the branch of a directory.

    Args:
        directory: the repository's root, or a directory below it.
        commit: 7 to 64 hex digits; looked up in the repository, and kept unchanged if it is unknown there. None: HEAD.

    Raises:
        InputError: `git.unavailable`.
    """
    repository = find_repository(directory)
    if repository is None:
        return GitInfo(commit_sha=commit)
    _check_work_tree(directory, repository)
    named = _run(directory, "symbolic-ref", "--short", "-q", "HEAD")
    if named.code > 1:
        raise _unavailable(repository, named)
    branch = _text(named.out).strip() or None
    logged = _run(
        directory, "log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%H%x00%s%x00%an%x00%ct",
        *((commit, "--") if commit else ()),
    )  # fmt: skip
    is_known = logged.code == 0
    if not is_known and not commit and "does not have any commits yet" not in logged.err:
        raise _unavailable(repository, logged)
    sha, message, author, seconds = _text(logged.out).rstrip("\n").split("\0") if is_known else (commit, "", "", "")
    return GitInfo(
        commit_sha=sha,
        branch=branch,
        message=(message or "")[:MAX_MESSAGE] or None,
        author=(author or "")[:MAX_HANDLE] or None,
        timestamp_ms=_timestamp_ms(seconds or ""),
        is_dirty=_is_dirty(directory) if is_known and not commit else None,
        is_detached=branch is None,
    )


class GitIgnored:
    """The paths below a directory that git ignores, by the rules of its repository and of nested ones.

    Args:
        root: the directory; may be below its repository's root.

    Raises:
        InputError: `git.unavailable`, also of `enter`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths: set[str] = set()
        repository = find_repository(root)
        self.has_repository = repository is not None
        if repository is not None:
            self._ask("", repository)

    def enter(self, directory: str) -> None:
        """Add the ignored paths of the nested repository at `directory`, if there is one.

        Submodules and other nested repositories are treated alike: the outer repository's rules don't apply to them.
        """
        if _is_repository(self._root / directory):
            self.has_repository = True
            self._ask(f"{directory}/", self._root / directory)

    def __contains__(self, path: str) -> bool:
        """Whether git ignores `path` itself. Paths below an ignored directory are not contained."""
        return path in self._paths

    @property
    def is_root_ignored(self) -> bool:
        """Whether git ignores the whole directory, such as an output directory; git's rules then select nothing."""
        return "." in self._paths

    def _ask(self, prefix: str, repository: Path) -> None:
        directory = self._root / prefix
        _check_work_tree(directory, repository)
        listed = _run(
            directory, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory",
            timeout_s=IGNORED_TIMEOUT_S,
        )  # fmt: skip
        if listed.code:
            raise _unavailable(repository, listed)
        paths = (os.fsdecode(path).rstrip("/") for path in listed.out.split(b"\0") if path)
        self._paths.update(f"{prefix}{path}" for path in paths)


def find_repository(directory: Path) -> Path | None:
    """The nearest directory, from this one upwards, that contains `.git`. Does not call git."""
    try:
        directory = Path(os.path.realpath(directory))
    except FileNotFoundError:  # the working directory was removed
        return None
    return next((path for path in (directory, *directory.parents) if os.path.lexists(path / ".git")), None)


def _is_repository(directory: Path) -> bool:
    """Whether a nested directory is a git repository, even a damaged one; any file may be called .git."""
    path = directory / ".git"
    try:
        if path.is_dir():
            return any(path.iterdir())
        with path.open("rb") as file:
            return file.read(8) == b"gitdir: "
    except OSError:
        return True  # unreadable: git reports the reason


def _check_work_tree(directory: Path, repository: Path) -> None:
    """Raise unless `directory` is in a git work tree."""
    answer = _run(directory, "rev-parse", "--is-inside-work-tree")
    if answer.code or answer.out.strip() != b"true":
        raise _unavailable(repository, answer)


def _is_dirty(directory: Path) -> bool | None:
    """Whether tracked files differ; None if git takes too long, or would have to run the repository's code.

    The comparison needs filters of the user's and the system's configuration (Git LFS); filters of the repository's own
    configuration are disabled by name. Submodules are not compared, because git would use their filters.
    """
    listed = _run(directory, "config", "--list", "--show-scope", "-z", "--name-only")
    words = os.fsdecode(listed.out).split("\0")
    own = {
        key.rpartition(".")[0]
        for scope, key in zip(words[::2], words[1::2], strict=False)
        if scope in ("local", "worktree") and key.startswith("filter.")
    }
    if listed.code or any("=" in name for name in own):  # -c can't express such a name
        return None
    off = [f"{name}.{what}" for name in sorted(own) for what in ("clean=", "process=", "required=false")]
    status = _run(
        directory, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty",
        settings=off, timeout_s=STATUS_TIMEOUT_S,
    )  # fmt: skip
    return None if status.code else bool(status.out.strip())


@dataclass(frozen=True)
class _GitResult:
    """The result of a git command; `code` is -1 if it did not run to its end, and `err` has the reason."""

    code: int
    out: bytes = b""
    err: str = ""


def _run(directory: Path, *words: str, settings: Sequence[str] = (), timeout_s: float | None = None) -> _GitResult:
    bound_s = TIMEOUT_S if timeout_s is None else timeout_s
    options = [word for setting in (*_NO_FOREIGN_PROGRAMS, *settings) for word in ("-c", setting)]
    command = ("git", "-C", str(directory), *options, *words)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=bound_s, env=git_environment(), check=False
        )
    except subprocess.TimeoutExpired:
        return _GitResult(-1, err=f"git {words[0]} did not finish within {bound_s:g} s")
    except FileNotFoundError:
        return _GitResult(-1, err="git is not installed")
    except OSError as error:
        return _GitResult(-1, err=f"git can't be started: {error.strerror}")
    if len(done.stdout) > MAX_OUTPUT_BYTES:
        return _GitResult(-1, err=f"git {words[0]} printed more than {MAX_OUTPUT_BYTES >> 20} MiB")
    return _GitResult(done.returncode, done.stdout, _text(done.stderr))


def git_environment(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of git: `env` without variables that select another repository or run programs."""
    clean = {name: value for name, value in env.items() if not name.startswith("GIT_") or name in _KEPT_VARIABLES}
    kept = [(key, value) for key, value in _settings(env) if key.lower() in _KEPT_SETTINGS]
    for number, (key, value) in enumerate(kept):
        clean |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    if kept:
        clean["GIT_CONFIG_COUNT"] = str(len(kept))
    return clean | {
        "GIT_ALLOW_PROTOCOL": "none",  # a partial clone would fetch missing objects
        "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1",  # as `find_repository` looks
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _settings(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The configuration in GIT_CONFIG_* variables, as git reads it."""
    count = env.get("GIT_CONFIG_COUNT", "")
    for number in range(min(int(count), 1000) if count.isascii() and count.isdigit() else 0):
        key, value = env.get(f"GIT_CONFIG_KEY_{number}"), env.get(f"GIT_CONFIG_VALUE_{number}")
        if key is not None and value is not None:
            yield key, value


def _unavailable(repository: Path, answer: _GitResult) -> InputError:
    """The error for a repository that git can't read, with the next step."""
    place = _printable(str(repository))
    reason = answer.err or "it has no work tree"
    trust = _SAFE_DIRECTORY.search(reason)
    if trust or "dubious ownership" in reason or "is owned by someone else" in reason:
        directory = trust.group(1).strip().strip("'") if trust else str(repository)
        message = (
            f"git refuses to read {place}, which belongs to another user{_owner(repository)}. If you trust its "
            f"content, run:\n  git config --global --add safe.directory {shlex.quote(_printable(directory))}\n"
        )
    elif answer.code == -1 and "git is not installed" in reason:
        message = f"{place} is a git repository, but {reason}, so branch and ignored files are unknown. Install git. "
    else:
        message = f"git can't read {place}: {_first_line(reason)}. Repair the repository (see: git -C {place} status). "
    return InputError(message + _NO_GIT, code="git.unavailable")


def _owner(repository: Path) -> str:
    try:
        return f" ({repository.owner()})"
    except (KeyError, OSError):
        return ""


def _first_line(text: str) -> str:
    line = next((line for line in text.splitlines() if line.startswith("fatal: ")), text.strip().split("\n")[0])
    return _printable(line.removeprefix("fatal: "))[:300]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _timestamp_ms(seconds: str) -> int | None:
    """A commit's time; None if the server would refuse it, because other machines' clocks can be wrong."""
    if not seconds.isdigit():
        return None
    stamp = int(seconds) * 1000
    return stamp if MIN_TIMESTAMP_MS <= stamp <= time.time() * 1000 + MAX_AHEAD_MS else None
