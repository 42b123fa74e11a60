"""What earlier deploys packed: a small record for each directory, so that an unchanged tree need not be packed again.

A record says "the tree with this fingerprint made the archive with this sha256 and size". It only serves to ask the
server whether it has that archive: what is sent is always packed anew. Nothing here raises: a record that is missing,
damaged, old, or that another user could have written counts as none, and one that can't be written is not.

Records lie in `$XDG_CACHE_HOME/sealift/contexts` (default `~/.cache`): directories 0700, files 0600, named by a digest
of the directory's path. They hold digests and a size, no paths and no content.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sealift.client.context import Context
from sealift.client.fingerprint import fingerprint, is_settled

MAX_RECORDS = 64
MAX_AGE_S = 30 * 24 * 3600
MAX_UNFINISHED_AGE_S = 3600
MAX_RECORD_BYTES = 4096
_SHA256 = re.compile("[0-9a-f]{64}")
_UNFINISHED = "new-"


@dataclass(frozen=True)
class Packed:
    """An archive that was made before."""

    sha256: str
    size_bytes: int


class PackedBefore:
    """The records of this user. Blocking, but small: a file each.

    Args:
        env: where XDG_CACHE_HOME is looked up.
        home: the user's home; None: the one that the system knows.
    """

    def __init__(self, env: Mapping[str, str] = os.environ, home: Path | None = None) -> None:
        self._directory = _directory(env, home)

    def find(self, context: Context) -> Packed | None:
        """What this very tree was packed to, None when that is not known for certain."""
        if self._directory is None:
            return None
        try:
            text = _read_private(self._directory / _name(context))
            found = json.loads(text)
            packed = Packed(found["sha256"], found["size_bytes"])
            is_good = (
                isinstance(packed.size_bytes, int)
                and packed.size_bytes > 0
                and _SHA256.fullmatch(packed.sha256)
                and found == _record(fingerprint(context), packed)
            )
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return packed if is_good else None

    def remember(self, context: Context, packed: Packed) -> bool:
        """Keeps that `context` was packed to this; False when it must not or can't be.

        It must not when a file was touched just before the scan: it may have changed since without showing it.
        """
        if self._directory is None or not is_settled(context):
            return False
        try:
            _make_private(self._directory)
            _replace(self._directory / _name(context), json.dumps(_record(fingerprint(context), packed)))
            _prune(self._directory)
        except OSError:
            return False
        return True


def _directory(env: Mapping[str, str], home: Path | None) -> Path | None:
    named = env.get("XDG_CACHE_HOME", "")
    try:
        # a relative one is to be ignored, says the specification
        base = Path(named) if named.startswith("/") else (home or Path.home()) / ".cache"
    except RuntimeError:  # no home
        return None
    return base / "sealift" / "contexts" if base.is_absolute() else None


def _name(context: Context) -> str:
    """One record for each directory and Dockerfile, whose ignore file may differ."""
    place = b"\0".join((os.fsencode(context.root), os.fsencode(context.dockerfile)))
    return f"{hashlib.sha256(place).hexdigest()[:32]}.json"


def _record(of: str, packed: Packed) -> dict[str, object]:
    """With a sum over all of it, so that a flipped bit is noticed."""
    values = {"fingerprint": of, **asdict(packed)}
    return {**values, "sum": hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()}


def _read_private(path: Path) -> str:
    """A file that only this user could have written. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
            raise PermissionError(path)
        if info.st_mtime < time.time() - MAX_AGE_S:
            raise FileNotFoundError(path)
        return file.read(MAX_RECORD_BYTES).decode("ascii")


def _make_private(directory: Path) -> None:
    """Makes what is missing of the way there. Not in another's home: `sudo` keeps HOME, and would lock them out."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if there.stat().st_uid != os.geteuid():
        raise PermissionError(there)
    for path in reversed((directory, *directory.parents)):
        if len(path.parts) > len(there.parts):
            path.mkdir(mode=0o700, exist_ok=True)


def _replace(path: Path, text: str) -> None:
    """Writes a file (mode 0600) that is there as a whole or not at all."""
    descriptor, unfinished = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        os.replace(unfinished, path)  # noqa: PTH105 - of a name from mkstemp
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)  # noqa: PTH108
        raise


def _prune(directory: Path) -> None:
    """Forgets what is old, and the oldest of too many; also what a killed process left unfinished."""
    with os.scandir(directory) as listing:
        ages = sorted((time.time() - entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in listing)
    for number, (age_s, path) in enumerate(ages):
        is_unfinished = Path(path).name.startswith(_UNFINISHED)
        if number >= MAX_RECORDS or age_s > (MAX_UNFINISHED_AGE_S if is_unfinished else MAX_AGE_S):
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
