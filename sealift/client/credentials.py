"""Where the server is and the key to it. Reads the environment and small files; talks to nobody."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sealift.client.address import FORM, Address, AddressError
from sealift.client.errors import AuthError, InputError

DEFAULT_URL = "http://127.0.0.1:7400"
MAX_KEY_BYTES = 4096


@dataclass(frozen=True)
class Endpoint:
    """A server's address and the key for it. The key stays out of repr."""

    url: str
    key: str | None = field(default=None, repr=False)

    @cached_property
    def address(self) -> Address:
        """The URL, understood.

        Raises:
            InputError: it is not `http[s]://host[:port]`.
        """
        return checked_url(self.url)

    @property
    def target(self) -> str:
        """The address in gRPC's form."""
        host = self.address.connect_host
        return f"[{host}]:{self.address.port}" if ":" in host else f"{host}:{self.address.port}"


def find_endpoint(url: str | None = None, env: Mapping[str, str] = os.environ, home: Path | None = None) -> Endpoint:
    """The endpoint from `url` (else SEALIFT_URL, else the local stack) and the first key found.

    Keys are looked up in SEALIFT_API_KEY, the file SEALIFT_API_KEY_FILE, ~/.config/sealift/key and, for the local
    stack only, the key that the stack made at its first start.

    Raises:
        InputError: the URL is not `http[s]://host[:port]`.
        AuthError: no key, or a key file that others can read.
    """
    address = checked_url(url or env.get("SEALIFT_URL") or DEFAULT_URL)
    return Endpoint(str(address), find_key(address, env, home))


def checked_url(url: str) -> Address:
    """The address of a server.

    Raises:
        InputError: it is not `http[s]://host[:port]`.
    """
    try:
        return Address.parse(url)
    except AddressError as error:
        shown = f" {url!r:.120}" if "@" not in url else ""  # a password stays out
        raise InputError(f"--url{shown} is not of the form {FORM}, e.g. {DEFAULT_URL}: {error}", field="url") from None


def find_key(server: Address, env: Mapping[str, str], home: Path | None = None) -> str:
    """The key for a server.

    Args:
        server: its address.
        env: where variables are looked up.
        home: of the user; None: what the system knows, which may be nothing, as in a container for any user.

    Raises:
        AuthError: none was found, or its file is readable by others.
    """
    if key := env.get("SEALIFT_API_KEY", "").strip():
        return _checked(key, "SEALIFT_API_KEY")
    if named := env.get("SEALIFT_API_KEY_FILE"):
        try:
            return read_key_file(Path(named).expanduser())
        except FileNotFoundError:
            raise AuthError(f"SEALIFT_API_KEY_FILE names {named}, which does not exist", code="auth.no_key") from None
    home = home or _home()
    places = [home / ".config" / "sealift" / "key"] if home else []
    if server == Address.parse(DEFAULT_URL):
        places += [directory / "secrets" / "admin.key" for directory in state_directories(env, home)]
    for place in places:
        try:
            return read_key_file(place)
        except FileNotFoundError:
            continue
    raise AuthError(
        f"no key for {server}; set SEALIFT_API_KEY"
        + (f", or write the key to {home / '.config' / 'sealift' / 'key'} (chmod 600)" if home else ""),
        code="auth.no_key",
    )


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def state_directories(env: Mapping[str, str], home: Path | None) -> list[Path]:
    """Where a local stack keeps its state: SEALIFT_STATE_DIR, else by user."""
    if named := env.get("SEALIFT_STATE_DIR"):
        return [Path(named).expanduser()]
    if os.geteuid() == 0:
        return [Path("/var/lib/sealift")]
    return [home / ".local" / "share" / "sealift"] if home else []


def read_key_file(path: Path) -> str:
    """The key in a file that only its owner may read.

    Raises:
        FileNotFoundError: there is no such file.
        AuthError: the file is open to others, unreadable, or holds no key.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_KEY_BYTES + 1)
    except FileNotFoundError:
        raise
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise AuthError(f"can't read the key file {path}: {error.strerror}", code="auth.key_file") from error
    if mode & 0o077:
        raise AuthError(
            f"the key file {path} has mode {mode:04o}, so others can use the key; run: chmod 600 {path}",
            code="auth.key_file_mode",
        )
    return _checked(content.decode("utf-8", "replace").strip(), str(path))


def _checked(key: str, where: str) -> str:
    if not key or len(key) > MAX_KEY_BYTES or not key.isascii() or not key.isprintable() or " " in key:
        raise AuthError(f"{where} does not hold a key (one line that begins with slk_)", code="auth.bad_key")
    return key
