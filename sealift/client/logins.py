"""The servers that this user has logged in to, with their keys: one file, the last login first.

The file is `$XDG_CONFIG_HOME/sealift/servers.json` (default `~/.config`), mode 0600, in a folder of mode 0700. It is
replaced as a whole under a lock, so that two logins at once keep both.
"""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sealift.client import private_files
from sealift.client.address import Address, AddressError
from sealift.client.errors import AuthError

FILE_NAME = "servers.json"
MAX_FILE_BYTES = 4 << 20
MAX_LOGINS = 64


@dataclass(frozen=True)
class Login:
    """What is stored for one server.

    Attributes:
        url: of the server, in canonical form.
        key: the access key; not in repr.
        ca_certificates: PEM of certificate authorities that vouch for this server, beside the system's; "" for none.
    """

    url: str
    key: str = field(repr=False)
    ca_certificates: str = field(default="", repr=False)


class LoginFile:
    """The file with the logins. Blocking.

    Args:
        directory: the folder of this program's configuration.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME

    def read(self) -> list[Login]:
        """All logins, the last one first; none if there is no file.

        Raises:
            AuthError: the file can be read by others, is unreadable, or is damaged.
        """
        try:
            with self.path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read(MAX_FILE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise AuthError(f"can't read {self.path}: {error.strerror}", code="auth.key_file") from error
        if mode & 0o077:
            raise AuthError(
                f"{self.path}, which holds access keys, has mode {mode:04o}, so other users can read it; run: "
                f"chmod 600 {self.path}",
                code="auth.key_file_mode",
            )
        try:
            return [_login(entry) for entry in json.loads(content)["servers"]]
        except (ValueError, TypeError, KeyError, AddressError, RecursionError):
            raise AuthError(
                f"{self.path} is damaged: move it away, then log in again with: sealift login URL", code="auth.key_file"
            ) from None

    def find(self, server: Address) -> Login | None:
        """The login for a server. Raises like `read`."""
        return next((login for login in self.read() if login.url == str(server)), None)

    def put(self, login: Login) -> None:
        """Store a login as the last one, in place of an earlier one for the same server.

        Raises:
            AuthError: the file can't be read or written.
        """
        self._change(lambda logins: [login, *(one for one in logins if one.url != login.url)][:MAX_LOGINS])

    def remove(self, server: Address) -> bool:
        """Delete the login for a server; False if there is none.

        Raises:
            AuthError: the file can't be read or written.
        """
        if self.find(server) is None:
            return False
        self._change(lambda logins: [one for one in logins if one.url != str(server)])
        return True

    def _change(self, change: Callable[[list[Login]], list[Login]]) -> None:
        try:
            private_files.make_directory(self.path.parent)
            with self._locked():
                private_files.replace(self.path, _content(change(self.read())))
        except OSError as error:
            whose = " belongs to another user" if isinstance(error, PermissionError) and not error.strerror else ""
            raise AuthError(
                f"can't write {self.path}:{whose or f' {error.strerror}'}; nothing was changed", code="auth.key_file"
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds a lock beside the file, which is itself replaced. The system releases it if this process ends."""
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def config_directory(env: Mapping[str, str], home: Path | None) -> Path | None:
    """The folder of this program's configuration; None for a user without a home."""
    named = env.get("XDG_CONFIG_HOME", "")
    if named.startswith("/"):  # the XDG specification requires relative paths to be ignored
        return Path(named) / "sealift"
    return home / ".config" / "sealift" if home else None


def _login(entry: Mapping[str, object]) -> Login:
    url, key, certificates = entry["url"], entry["key"], entry.get("ca_certificates", "")
    if not isinstance(url, str) or not isinstance(key, str) or not isinstance(certificates, str):
        raise TypeError
    return Login(str(Address.parse(url)), key, certificates)


def _content(logins: list[Login]) -> bytes:
    servers = [
        {"url": one.url, "key": one.key} | ({"ca_certificates": one.ca_certificates} if one.ca_certificates else {})
        for one in logins
    ]
    return json.dumps({"servers": servers}, indent=1).encode() + b"\n"
