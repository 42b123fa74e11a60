"""The variables of dev/.env that choose the builder, and the file itself. Pure, except for reading and writing it."""

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "dev/.env"
BACKEND = "SEALIFT_BUILD_BACKEND"
BACKENDS = ("docker", "buildkit", "depot")
DEFAULT_BUCKET = "build-contexts"
DEFAULT_USERNAME = "x-token"
_UNQUOTABLE = frozenset({"Cc", "Zl", "Zp"})
_ALL = frozenset(BACKENDS)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of dev/.env.

    Attributes:
        name: as in the file and in the environment.
        text: what it is, in the words of the prompt.
        backends: which of them read it.
        required_by: which of them do nothing without it.
        is_secret: never a flag, never shown.
    """

    name: str
    text: str
    backends: frozenset[str] = _ALL
    required_by: frozenset[str] = frozenset()
    is_secret: bool = False

    @property
    def flag(self) -> str:
        """Of dev/setup-build-backend, e.g. "--registry-url"."""
        return "--" + self.name.removeprefix("SEALIFT_").removeprefix("BUILD_").lower().replace("_", "-")


_BUILDKIT, _DEPOT = frozenset({"buildkit"}), frozenset({"depot"})
VARIABLES = (
    Variable("SEALIFT_BUILD_PLATFORM", "platform of builds that name none: linux/amd64 or linux/arm64"),
    Variable("SEALIFT_BUILD_BUILDKIT_ADDRESS", "the buildkitd: tcp://host:port or unix:///path", _BUILDKIT, _BUILDKIT),
    Variable("SEALIFT_BUILD_BUILDKIT_SERVER_NAME", "name in its certificate, if it is not the host", _BUILDKIT),
    Variable("SEALIFT_BUILD_BUILDKIT_CA_FILE", "PEM file of the authority of its certificate (tcp)", _BUILDKIT),
    Variable("SEALIFT_BUILD_BUILDKIT_CERT_FILE", "PEM file of your certificate (tcp)", _BUILDKIT),
    Variable("SEALIFT_BUILD_BUILDKIT_KEY_FILE", "PEM file of its key (tcp)", _BUILDKIT),
    Variable("DEPOT_TOKEN", "token of the organisation at Depot, also for its registry", _DEPOT, is_secret=True),
    Variable("SEALIFT_DEPOT_ACCESS_TOKEN", "another token for Depot's API, if not DEPOT_TOKEN", _DEPOT, is_secret=True),
    Variable("SEALIFT_DEPOT_API_URL", "Depot's API, if it is not the usual one", _DEPOT),
    Variable("SEALIFT_DEPOT_PROJECT_REGION", "us-east-1 or eu-central-1", _DEPOT),
    Variable("SEALIFT_DEPOT_USERNAME", f"user name at Depot's registry, if not {DEFAULT_USERNAME}", _DEPOT),
    Variable("SEALIFT_REGISTRY_URL", "registry of built images: host[:port][/path]", _ALL, _BUILDKIT | _DEPOT),
    Variable("SEALIFT_REGISTRY_USERNAME", f"account that may push there, if not {DEFAULT_USERNAME}"),
    Variable("SEALIFT_REGISTRY_PASSWORD", "password or token of that account", is_secret=True),
    Variable("SEALIFT_REGISTRY_CA_FILE", "PEM file of its own certificate authority, if it has one"),
    Variable("SEALIFT_REGISTRY_PULL_USERNAME", "account that pulls, if not the one that pushes"),
    Variable("SEALIFT_REGISTRY_PULL_PASSWORD", "password or token of that account", is_secret=True),
    Variable("SEALIFT_BUILD_S3_URL", "S3 server for build contexts, as this machine reaches it", _ALL, _DEPOT),
    Variable("SEALIFT_BUILD_S3_EXTERNAL_URL", "the same server as builders reach it", _ALL, _DEPOT),
    Variable("SEALIFT_BUILD_S3_BUCKET", f"bucket, if it is not {DEFAULT_BUCKET}"),
    Variable("SEALIFT_BUILD_S3_ACCESS_KEY_ID", "access key of the S3 server"),
    Variable("SEALIFT_BUILD_S3_ACCESS_KEY_SECRET", "its secret", is_secret=True),
)
NAMES = frozenset({BACKEND, *(variable.name for variable in VARIABLES)})


def parse(text: str) -> dict[str, str]:
    """The assignments of an env file; a value may stand in single quotes."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            quoted = len(value) > 1 and value[0] == value[-1] == "'"
            found[name] = value[1:-1] if quoted else value
    return found


def assignment(name: str, value: str) -> str:
    """One line, which a shell, docker compose and `parse` read alike.

    Raises:
        ValueError: the value has a character that no form of quoting carries to all three.
    """
    if "'" in value or any(unicodedata.category(character) in _UNQUOTABLE for character in value):
        raise ValueError(f"{name}: a value in dev/.env can't contain a single quote, a line break or another control")
    return f"{name}='{value}'"


def read(path: Path | None = None) -> dict[str, str]:
    """What is set in the file; nothing if there is none."""
    path = path or FILE
    return parse(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(values: Mapping[str, str], path: Path | None = None) -> None:
    """Sets our variables in the file, atomically, mode 0600. Lines of others stay; an empty value is left out."""
    path = path or FILE
    kept = []
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.partition("=")[0].strip() not in NAMES]
    lines = kept + [assignment(name, value) for name, value in values.items() if value]
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    new.replace(path)


def resolved(values: Mapping[str, str]) -> dict[str, str]:
    """The variables with the defaults that follow from others: Depot's token, the bucket, the account for pulls."""
    given = {name: value for name, value in values.items() if name in NAMES and value}
    if given.get(BACKEND) == "depot":
        token, username = given.get("DEPOT_TOKEN", ""), given.get("SEALIFT_DEPOT_USERNAME", "")
        given = {
            "SEALIFT_DEPOT_ACCESS_TOKEN": token, "SEALIFT_REGISTRY_PASSWORD": token,
            "SEALIFT_REGISTRY_USERNAME": username, **given,
        }  # fmt: skip
    elif "SEALIFT_BUILD_S3_URL" in given:
        given.setdefault("SEALIFT_BUILD_S3_EXTERNAL_URL", given["SEALIFT_BUILD_S3_URL"])
    if any(name.startswith("SEALIFT_BUILD_S3_") and value for name, value in given.items()):
        given.setdefault("SEALIFT_BUILD_S3_BUCKET", DEFAULT_BUCKET)
    for part in ("USERNAME", "PASSWORD"):
        if pushes := given.get(f"SEALIFT_REGISTRY_{part}", ""):
            given.setdefault(f"SEALIFT_REGISTRY_PULL_{part}", pushes)
    return {name: value for name, value in given.items() if value}
