"""Files that hold a key or token: made once with mode 0600, refused when others can read them.

Kubernetes mounts a Secret for a process without root as a file of root's that the group of the process may read: there
the group stands for the process, and others have no right at all.
"""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from pkg.config.base import ConfigError

MAX_SECRET_BYTES = 64 * 1024


def read_secret_file(path: Path) -> bytes:
    """The exact bytes of a secret file.

    Raises:
        ConfigError: config.secret_file when it is missing, no regular file, usable by others, owned by someone who is
            neither us nor root, empty, or over 64 KiB. A group may use it only as Kubernetes mounts Secrets: read a
            file of root's as a group of ours, who are not root.
    """
    try:
        # non-blocking: opening a fifo would wait for a writer
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _refused(f"cannot read the secret file {path}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _refused(f"the secret file {path} is not a regular file")
        if status.st_mode & (0o037 if _is_mounted_for_us(status) else 0o077):
            mode = stat.S_IMODE(status.st_mode)
            raise _refused(f"the secret file {path} has mode {mode:04o}, so others may use it; run: chmod 600 {path}")
        if status.st_uid not in {os.geteuid(), 0}:
            raise _refused(f"the secret file {path} belongs to user {status.st_uid}; it must be ours or root's")
        data = os.read(descriptor, MAX_SECRET_BYTES + 1)
    finally:
        os.close(descriptor)
    if not data or len(data) > MAX_SECRET_BYTES:
        raise _refused(f"the secret file {path} has {len(data)} bytes; allowed are 1 to {MAX_SECRET_BYTES}")
    return data


def _is_mounted_for_us(status: os.stat_result) -> bool:
    our_groups = {os.getegid(), *os.getgroups()}
    return status.st_uid == 0 and os.geteuid() != 0 and status.st_gid in our_groups


def read_secret_text(path: Path) -> str:
    """The text of a secret file, such as a token, without white space around it. Raises as `read_secret_file`."""
    try:
        text = read_secret_file(path).decode("utf-8").strip()
    except UnicodeDecodeError:
        raise _refused(f"the secret file {path} is not UTF-8 text") from None
    if not text:
        raise _refused(f"the secret file {path} holds nothing but white space")
    return text


def ensure_secret_file(path: Path, make: Callable[[], bytes]) -> bytes:
    """What the file holds; a missing one is made with `make()` and mode 0600 first.

    Atomic: with many callers at once one wins and all read the same bytes; a crash leaves either no file or a
    complete one that is on the disk. Missing parent folders are made with mode 0700.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path, make())
    return read_secret_file(path)


def ensure_key_file(path: Path, n_bytes: int) -> bytes:
    """The `n_bytes` random bytes in the key file, made on first use; contract of `ensure_secret_file`.

    Raises:
        ConfigError: config.secret_file also when an existing file has another length.
    """
    key = ensure_secret_file(path, lambda: secrets.token_bytes(n_bytes))
    if len(key) != n_bytes:
        raise _refused(f"the key file {path} has {len(key)} bytes instead of {n_bytes}; restore it from a backup")
    return key


def _create(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(draft, path)  # unlike rename, never replaces a key that another process made in between
        except FileExistsError:
            return
    except OSError as error:
        raise _refused(f"cannot create the secret file {path}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refused(message: str) -> ConfigError:
    return ConfigError("config.secret_file", message)
