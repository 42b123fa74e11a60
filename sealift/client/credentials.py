"""Finds the server's URL and the key. Reads the environment and small files; makes no calls."""

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
    """A server's URL and its key. The key is not in repr."""

    url: str
    key: str | None = field(default=None, repr=False)

    @cached_property
    def address(self) -> Address:
        """The parsed URL.

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
    """The endpoint with `url` (else SEALIFT_URL, else the local stack) and the first key found.

    Keys are searched in SEALIFT_API_KEY, the file in SEALIFT_API_KEY_FILE, ~/.config/sealift/key and, for the local
    stack only, the admin key that the stack created at its first start.

    Raises:
        InputError: the URL is not `http[s]://host[:port]`.
        AuthError: no key, or a key file that other users can read.
    """
    address = checked_url(url or env.get("SEALIFT_URL") or DEFAULT_URL)
    return Endpoint(str(address), find_key(address, env, home))


def checked_url(url: str) -> Address:
    """A server URL, parsed.

    Raises:
        InputError: it is not `http[s]://host[:port]`.
    """
    try:
        return Address.parse(url)
    except AddressError as error:
        shown = f" {url!r:.120}" if "@" not in url else ""  # it may contain a password
        raise InputError(f"--url{shown} is not of the form {FORM}, e.g. {DEFAULT_URL}: {error}", field="url") from None


def find_key(server: Address, env: Mapping[str, str], home: Path | None = None) -> str:
    """The key for a server.

    Args:
        server: its address.
        env: environment variables.
        home: the user's home; None: from the system, which may have none, as in some containers.

    Raises:
        AuthError: no key was found, or other users can read its file.
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
    raise AuthError(_no_key(server, places, home), code="auth.no_key")


def _no_key(server: Address, places: list[Path], home: Path | None) -> str:
    steps = ["set SEALIFT_API_KEY"]
    if home:
        steps.append(f"write the key to {home / '.config' / 'sealift' / 'key'} (chmod 600)")
    if server == Address.parse(DEFAULT_URL):
        steps.append("set SEALIFT_STATE_DIR if the state of the local stack is elsewhere (`make status` shows where)")
    looked = f" in {' or '.join(map(str, places))}" if places else ""
    return f"no key for {server}{looked}; {', or '.join(steps)}"


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def state_directories(env: Mapping[str, str], home: Path | None) -> list[Path]:
    """Possible state directories of a local stack: SEALIFT_STATE_DIR, else depending on the user."""
    if named := env.get("SEALIFT_STATE_DIR"):
        return [Path(named).expanduser()]
    if os.geteuid() == 0:
        return [Path("/var/lib/sealift")]
    return [home / ".local" / "share" / "sealift"] if home else []


def read_key_file(path: Path) -> str:
    """The key in a file that only its owner can read.

    Raises:
        FileNotFoundError: the file does not exist.
        AuthError: other users can read the file, it is unreadable, or contains no key.
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
            f"the key file {path} has mode {mode:04o}, so other users can read it; run: chmod 600 {path}",
            code="auth.key_file_mode",
        )
    return _checked(content.decode("utf-8", "replace").strip(), str(path))


def _checked(key: str, where: str) -> str:
    if not key or len(key) > MAX_KEY_BYTES or not key.isascii() or not key.isprintable() or " " in key:
        raise AuthError(f"{where} does not contain a key (one line that starts with slk_)", code="auth.bad_key")
    return key
