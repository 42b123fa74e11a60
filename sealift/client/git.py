"""What git says about a directory: its answer, or an error. Never a guess.

Two questions are asked: which commit and branch this is (`read_git`), and what git leaves out (`GitIgnored`). Where no
repository is, both have an empty answer. Where one is and git can't be asked, for whatever reason (it belongs to
another user, git is not installed, it is damaged, the answer takes too long), both raise `git.unavailable`: without
git's rules, files like `.env` would be sent, and another branch would be deployed than the one that is there.

Git runs with nothing of a calling hook in its environment, without network and without programs that the repository's
own configuration names (fsmonitor, hooks, filters): the directory may come from somebody else.
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
STATUS_TIMEOUT_S = 5.0  # only tells whether there are changes: not worth a longer wait
IGNORED_TIMEOUT_S = 60.0
MAX_OUTPUT_BYTES = 32 << 20
# The server's bounds on a commit's time: not seconds sent by mistake, not over an hour ahead.
MIN_TIMESTAMP_MS = 1_000_000_000_000
MAX_AHEAD_MS = 3_600_000
MAX_MESSAGE = 10_240
MAX_HANDLE = 256

# All other variables named GIT_* may come from a hook, and then they mean the hook's repository.
_KEPT_VARIABLES = frozenset({"GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"})
# Of the configuration in variables (GIT_CONFIG_COUNT, ...): who may be trusted, and what the user ignores everywhere.
_KEPT_SETTINGS = frozenset({"safe.directory", "core.excludesfile"})
_NO_FOREIGN_PROGRAMS = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}")
_SAFE_DIRECTORY = re.compile(r"git config --global --add safe\.directory (.+)")
_NO_GIT = (
    "Or use --no-git: it sends all that .dockerignore does not leave out, and takes the branch that --branch names"
)


@dataclass(frozen=True)
class GitInfo:
    """A checkout. A field is None when it does not apply; all are in a directory without a repository.

    Attributes:
        commit_sha: 40 (or 64) lower-case hex digits; None before the first commit.
        branch: None on a detached HEAD.
        message: subject line of the commit.
        author: name of its author.
        timestamp_ms: of the commit, epoch milliseconds.
        is_dirty: whether tracked files differ from the commit; None: not known, which took too long or is not asked.
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
        directory: need not be the repository's root.
        commit: 7 to 64 hex digits, looked up in the repository; one that it does not have stays as it is. None: HEAD.

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
    """The paths below a directory that git ignores: by the rules of its repository and of those nested in it.

    Args:
        root: the directory. May lie below its repository's root.

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
        """Asks the repository whose root `directory` is, for its own rules. The root of all need not be entered.

        A submodule and a repository that merely lies there are the same in this: the outer one says nothing of them.
        """
        if _is_repository(self._root / directory):
            self.has_repository = True
            self._ask(f"{directory}/", self._root / directory)

    def __contains__(self, path: str) -> bool:
        """Whether git ignores `path` itself; what lies below an ignored directory is not in here."""
        return path in self._paths

    @property
    def is_root_ignored(self) -> bool:
        """Whether the directory as a whole is ignored, as an output directory is: then git's rules choose nothing."""
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
    """The nearest directory, from this one upwards, in which something called `.git` lies. Git is not asked."""
    try:
        directory = Path(os.path.realpath(directory))
    except FileNotFoundError:  # the working directory was removed: there is nothing to deploy either
        return None
    return next((path for path in (directory, *directory.parents) if os.path.lexists(path / ".git")), None)


def _is_repository(directory: Path) -> bool:
    """Whether git would take a nested directory for a repository, damaged or not; any file may be called .git."""
    path = directory / ".git"
    try:
        if path.is_dir():
            return any(path.iterdir())
        with path.open("rb") as file:
            return file.read(8) == b"gitdir: "
    except OSError:
        return True  # there is something that can't be looked at: git says what


def _check_work_tree(directory: Path, repository: Path) -> None:
    """Raises unless git takes `directory` for a part of a checkout."""
    answer = _run(directory, "rev-parse", "--is-inside-work-tree")
    if answer.code or answer.out.strip() != b"true":
        raise _unavailable(repository, answer)


def _is_dirty(directory: Path) -> bool | None:
    """Whether tracked files differ; None when that is not known in time or not without running the repository's code.

    Comparing needs the filters of the user's and the system's configuration (Git LFS); those of the repository's own
    are switched off by name. Git would compare inside submodules with theirs: it does not look there.
    """
    listed = _run(directory, "config", "--list", "--show-scope", "-z", "--name-only")
    words = os.fsdecode(listed.out).split("\0")
    own = {
        key.rpartition(".")[0]
        for scope, key in zip(words[::2], words[1::2], strict=False)
        if scope in ("local", "worktree") and key.startswith("filter.")
    }
    if listed.code or any("=" in name for name in own):  # -c takes no such name
        return None
    off = [f"{name}.{what}" for name in sorted(own) for what in ("clean=", "process=", "required=false")]
    status = _run(
        directory, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty",
        settings=off, timeout_s=STATUS_TIMEOUT_S,
    )  # fmt: skip
    return None if status.code else bool(status.out.strip())


@dataclass(frozen=True)
class _GitResult:
    """What one git command said; `code` is -1 when it could not be run to its end, and `err` says why."""

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
        return _GitResult(-1, err=f"git {words[0]} gave no answer within {bound_s:g} s")
    except FileNotFoundError:
        return _GitResult(-1, err="there is no program git on this machine")
    except OSError as error:
        return _GitResult(-1, err=f"git can't be started: {error.strerror}")
    if len(done.stdout) > MAX_OUTPUT_BYTES:
        return _GitResult(-1, err=f"git {words[0]} answers with over {MAX_OUTPUT_BYTES >> 20} MiB")
    return _GitResult(done.returncode, done.stdout, _text(done.stderr))


def git_environment(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that git is run with: those of `env`, without what names another repository or runs programs."""
    clean = {name: value for name, value in env.items() if not name.startswith("GIT_") or name in _KEPT_VARIABLES}
    kept = [(key, value) for key, value in _settings(env) if key.lower() in _KEPT_SETTINGS]
    for number, (key, value) in enumerate(kept):
        clean |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    if kept:
        clean["GIT_CONFIG_COUNT"] = str(len(kept))
    return clean | {
        "GIT_ALLOW_PROTOCOL": "none",  # a partial clone fetches what is missing: not for a question
        "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1",  # as `find_repository` looks
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _settings(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The configuration in variables, as git reads it."""
    count = env.get("GIT_CONFIG_COUNT", "")
    for number in range(min(int(count), 1000) if count.isascii() and count.isdigit() else 0):
        key, value = env.get(f"GIT_CONFIG_KEY_{number}"), env.get(f"GIT_CONFIG_VALUE_{number}")
        if key is not None and value is not None:
            yield key, value


def _unavailable(repository: Path, answer: _GitResult) -> InputError:
    """The error of a repository that git says nothing of, with the step that helps in that case."""
    place = _printable(str(repository))
    said = answer.err or "it is no checkout: git has no work tree here"
    trust = _SAFE_DIRECTORY.search(said)
    if trust or "dubious ownership" in said or "is owned by someone else" in said:
        directory = trust.group(1).strip().strip("'") if trust else str(repository)
        message = (
            f"git refuses to answer about {place}, which belongs to another user{_owner(repository)}. If you trust its "
            f"content:\n  git config --global --add safe.directory {shlex.quote(_printable(directory))}\n"
        )
    elif answer.code == -1 and "no program git" in said:
        message = (
            f"{place} is a git repository, but {said}: neither branch nor what git ignores is known. Install git. "
        )
    else:
        message = (
            f"git can't be asked about {place}: {_first_line(said)}. Repair that (git -C {place} status shows it). "
        )
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
    """A commit's time if the server would take it: clocks of other machines can be far off."""
    if not seconds.isdigit():
        return None
    stamp = int(seconds) * 1000
    return stamp if MIN_TIMESTAMP_MS <= stamp <= time.time() * 1000 + MAX_AHEAD_MS else None
