"""Finds the server's URL, the key and trusted authorities. Reads the environment and small files; makes no calls."""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sealift.client.address import FORM, Address, AddressError
from sealift.client.errors import AuthError, InputError
from sealift.client.logins import Login, LoginFile, config_directory
from sealift.client.trust import read_ca_file

DEFAULT_URL = "http://127.0.0.1:7400"
MAX_KEY_BYTES = 4096


@dataclass(frozen=True)
class Endpoint:
    """A server's URL and its key. The key is not in repr.

    Attributes:
        url: `http[s]://host[:port]`.
        key: the access key.
        ca_certificates: PEM of certificate authorities that are trusted beside the system's.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    ca_certificates: str = field(default="", repr=False)

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
    """The endpoint of `url`, else of SEALIFT_URL, else of the last login, else of the local stack.

    The key is that in SEALIFT_API_KEY or in the file in SEALIFT_API_KEY_FILE; else that of the login to this server;
    else the one in ~/.config/sealift/key; else, for the local stack only, the admin key that the stack created at its
    first start. A key from the environment is never sent to a server that only a login names.

    Raises:
        InputError: the URL is not `http[s]://host[:port]`, or SEALIFT_CA_FILE has no certificate.
        AuthError: no key, or a file with keys that other users can read.
    """
    home = home or _home()
    named = url or env.get("SEALIFT_URL")
    from_env = _key_of_environment(env)
    logins = _login_file(env, home)
    if named or from_env:
        address = checked_url(named) if named else local_stack(env, home)
        needs_login = from_env is None or (address.is_tls and not env.get("SEALIFT_CA_FILE"))
        login = logins.find(address) if logins and needs_login else None
    else:
        login = next(iter(logins.read()), None) if logins else None
        address = checked_url(login.url) if login else local_stack(env, home)
    key = from_env or (login.key if login else _key_in_files(address, env, home))
    return Endpoint(str(address), key, _ca_certificates(env, login))


def login_file(env: Mapping[str, str] = os.environ, home: Path | None = None) -> LoginFile:
    """The file with this user's logins.

    Raises:
        AuthError: the user has no home, and XDG_CONFIG_HOME is not set.
    """
    found = _login_file(env, home or _home())
    if found is None:
        raise AuthError(
            "this user has no home folder in which a login could be stored: set XDG_CONFIG_HOME, or use SEALIFT_URL "
            "and SEALIFT_API_KEY",
            code="auth.key_file",
        )
    return found


def _login_file(env: Mapping[str, str], home: Path | None) -> LoginFile | None:
    directory = config_directory(env, home)
    return LoginFile(directory) if directory else None


def _ca_certificates(env: Mapping[str, str], login: Login | None) -> str:
    if named := env.get("SEALIFT_CA_FILE"):
        return read_ca_file(Path(named).expanduser(), "SEALIFT_CA_FILE")
    return login.ca_certificates if login else ""


def checked_url(url: str, what: str = "--url") -> Address:
    """A server URL, parsed; `what`: the option or argument that it comes from, for the message.

    Raises:
        InputError: it is not `http[s]://host[:port]`.
    """
    try:
        return Address.parse(url)
    except AddressError as error:
        shown = f" {url!r:.120}" if "@" not in url else ""  # it may contain a password
        raise InputError(f"{what}{shown} is not of the form {FORM}, e.g. {DEFAULT_URL}: {error}", field="url") from None


def _key_of_environment(env: Mapping[str, str]) -> str | None:
    if key := env.get("SEALIFT_API_KEY", "").strip():
        return checked_key(key, "SEALIFT_API_KEY")
    if named := env.get("SEALIFT_API_KEY_FILE"):
        try:
            return read_key_file(Path(named).expanduser())
        except FileNotFoundError:
            raise AuthError(f"SEALIFT_API_KEY_FILE names {named}, which does not exist", code="auth.no_key") from None
    return None


def _key_in_files(server: Address, env: Mapping[str, str], home: Path | None) -> str:
    """The key for a server that there is no login to. Raises AuthError: none, or other users can read its file."""
    # where users wrote the key before there were logins
    places = [home / ".config" / "sealift" / "key"] if home else []
    if server == local_stack(env, home):
        places += [directory / "secrets" / "admin.key" for directory in state_directories(env, home)]
    for place in places:
        try:
            return read_key_file(place)
        except FileNotFoundError:
            continue
    raise AuthError(_no_key(server, places), code="auth.no_key")


def _no_key(server: Address, places: list[Path]) -> str:
    steps = [f"log in with: sealift login {server}", "set SEALIFT_API_KEY"]
    if server.is_local:
        steps.append("set SEALIFT_STATE_DIR if the state of the local stack is elsewhere (`make status` shows where)")
    looked = f" in {' or '.join(map(str, places))}" if places else ""
    return f"no key for {server}{looked}; {', or '.join(steps)}"


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def local_stack(env: Mapping[str, str], home: Path | None) -> Address:
    """Where the stack of this machine takes calls: as its state directory says, else at the default port."""
    for directory in state_directories(env, home):
        try:
            found = Address.parse(f"http://{json.loads((directory / 'run' / 'stack.json').read_bytes())['api']}")
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if found.is_local:
            return found
    return Address.parse(DEFAULT_URL)


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
    return checked_key(content.decode("utf-8", "replace").strip(), str(path))


def checked_key(key: str, where: str) -> str:
    """`key`, if it has a key's form; `where` it comes from, for the message. Raises AuthError."""
    if not key or len(key) > MAX_KEY_BYTES or not key.isascii() or not key.isprintable() or " " in key:
        raise AuthError(f"{where} does not contain a key (one line that starts with slk_)", code="auth.bad_key")
    return key
