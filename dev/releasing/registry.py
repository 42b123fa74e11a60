"""A registry of images: which digest does a tag have? And the login that other tools find."""

import base64
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from dev.releasing.errors import ReleaseError

_MANIFESTS = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_TIMEOUT_S = 30
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Login:
    """Who asks the registry; `password` is a token and never shown."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user})"

    @property
    def basic(self) -> str:
        """For an Authorization header, and for a Docker configuration file."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def digest_of(reference: str, login: Login | None = None, scheme: str = "https") -> str | None:
    """The digest that a tag (`ghcr.io/sealift/krane:v1.4.0`) has in the registry; None if there is no such tag.

    Raises:
        ReleaseError: The registry refuses or does not answer: its state is unknown, so nothing may be pushed.
    """
    host, _, rest = reference.partition("/")
    path, _, tag = rest.rpartition(":")
    request = urllib.request.Request(f"{scheme}://{host}/v2/{path}/manifests/{tag}", method="HEAD")
    request.add_header("Accept", _MANIFESTS)
    try:
        try:
            return _digest(request, reference)
        except urllib.error.HTTPError as error:
            if error.code != http.client.UNAUTHORIZED:
                raise
            request.add_header("Authorization", _authorization(error.headers.get("WWW-Authenticate", ""), path, login))
            return _digest(request, reference)
    except urllib.error.HTTPError as error:
        if error.code == http.client.NOT_FOUND:
            return None
        raise ReleaseError(
            f"{host} answered {error.code} for {reference}; check that the token may read and write packages"
        ) from error
    except OSError as error:
        raise ReleaseError(f"the request to {host} for {reference} failed: {error}; run the job again") from error


def write_login(path: Path, host: str, login: Login) -> None:
    """Adds the login to a Docker configuration file (made if missing, readable by its owner only)."""
    config = json.loads(path.read_bytes()) if path.exists() else {}
    config.setdefault("auths", {})[host] = {"auth": login.basic}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(config), encoding="utf-8")


def _digest(request: urllib.request.Request, reference: str) -> str:
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        digest = answer.headers.get("Docker-Content-Digest", "")
    if not _DIGEST.fullmatch(digest):
        raise ReleaseError(f"the registry gave no digest for {reference}, but {digest!r}")
    return str(digest)


def _authorization(challenge: str, path: str, login: Login | None) -> str:
    """The header that answers a challenge: a token for `path`, or the login itself."""
    kind, _, rest = challenge.partition(" ")
    if kind.lower() == "basic" and login:
        return f"Basic {login.basic}"
    fields = dict(_CHALLENGE.findall(rest))
    if kind.lower() != "bearer" or "realm" not in fields:
        raise ReleaseError(f"the registry wants a login that is not understood: {challenge!r}")
    scope = "pull,push" if login else "pull"  # who may push also sees a package that is not public yet
    query = urllib.parse.urlencode({"service": fields.get("service", ""), "scope": f"repository:{path}:{scope}"})
    request = urllib.request.Request(f"{fields['realm']}?{query}")
    if login:
        request.add_header("Authorization", f"Basic {login.basic}")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        got = json.load(answer)
    return f"Bearer {got.get('token') or got['access_token']}"
