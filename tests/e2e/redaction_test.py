"""No secret of a build, and no credential of the installation, is anywhere it does not belong, whatever builds.

A build tries to print, to keep and to fail with what it is given. Then every place that keeps something is searched:
what the CLI printed, the state directory (logs, databases, Restate's journal, objects), the registry's blobs
(layers, configurations, provenance) and what the builder itself has stored.
"""

import base64
import contextlib
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry
from pkg.storage.s3.testing import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, SwiftServer
from tests.harness import apps, buildkitd
from tests.harness.stack import Stack

pytestmark = pytest.mark.timeout(600)

BUILD_SECRET = 'tok-4711 "quoted" & more'
# Signatures of URLs: of S3, and of the store on the disk.
SIGNATURES = re.compile(rb"X-Amz-Signature=[0-9a-f]{16}|[?&]signature=[0-9a-f]{16}")
# Configurations of services hold the credentials that an operator has set, for their owner alone.
CONFIGS = ("run/api.toml", "run/worker.toml", "run/krane.toml")
LEAKS = (
    "RUN --mount=type=secret,id=token cat /run/secrets/token; base64 /run/secrets/token; env\n"
    "RUN --mount=type=secret,id=token cat /proc/self/environ /proc/1/cmdline /proc/mounts || true\n"
    'RUN --mount=type=secret,id=token echo "$(cat /run/secrets/token)" >&2{end}\n'
)


@dataclass(frozen=True)
class Site:
    """A stack, and what is beside it.

    Attributes:
        credentials: of the installation.
        stores: folders of the registry and of the builder.
    """

    stack: Stack
    credentials: tuple[str, ...]
    stores: tuple[Path, ...]


@pytest.fixture(scope="module", params=["docker", "buildkit"])
def site(
    request: pytest.FixtureRequest, engine_socket: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The engine's builder pushes with a password and reads contexts from the disk, buildkitd with tokens, from S3."""
    push, pull = PUSHER.password.reveal(), PULLER.password.reveal()
    if request.param == "docker":
        with DockerRegistry(login="basic") as registry:
            toml = buildkitd.registry_sections(registry.host, push, PULLER.username, pull)
            with Stack(engine_socket, toml=toml) as stack:
                yield Site(stack, (push, pull), (registry.storage,))
        return
    daemon = BuildkitDaemon()
    with (
        DockerRegistry(login="token") as registry,
        SwiftServer() as s3,
        buildkitd.served(daemon, tmp_path_factory.mktemp("tls")) as build,
    ):
        objects = (
            f'[objects]\nbackend = "s3"\nurl = "{s3.url}"\nexternal_url = "{s3.url}"\nregion = "{REGION}"\n'
            f'bucket = "contexts"\naccess_key_id = "{ACCESS_KEY_ID}"\naccess_key_secret = "{ACCESS_KEY_SECRET}"\n'
        )
        toml = build + buildkitd.registry_sections(registry.host, push, PULLER.username, pull) + objects
        with Stack(engine_socket, toml=toml) as stack:
            yield Site(stack, (push, pull, ACCESS_KEY_SECRET), (registry.storage, daemon.folder))


@pytest.fixture(scope="module")
def stack(site: Site) -> Stack:
    """Where the project of a test is made."""
    return site.stack


@pytest.mark.parametrize("end", ["", "; exit 7"], ids=["succeeds", "fails"])
def test_nothing_that_is_secret_stays_anywhere(site: Site, project: str, tmp_path: Path, end: str) -> None:
    """Promise: values of build secrets, credentials and signed URLs are in no log, row, journal, layer or history."""
    directory = apps.app(tmp_path / "app", build=LEAKS.format(end=end))
    done = site.stack.sealift(
        "deploy", str(directory), "--project", project, "--json", "--secret", "id=token,env=TOKEN",
        env={"TOKEN": BUILD_SECRET},
    )  # fmt: skip
    assert done.code == (0 if not end else 4), done.err
    shown = site.stack.sealift("build", "show", "--project", project, "--json")
    logs = site.stack.sealift("logs", "--build", done.last_json["deployment_id"])
    assert "***" in logs.out  # the build has printed something secret
    for credential in site.credentials:
        assert credential not in done.out + done.err + shown.out + logs.out + logs.err
    secrets = [form for text in (BUILD_SECRET, *site.credentials) for form in _forms(text)]
    found = [
        f"{path}: {what!r}"
        for folder in (site.stack.state, *site.stores)
        for path in _files(folder)
        for what in _secret_parts(path.read_bytes(), secrets)
        if not _belongs(site.stack.state, path, what)
    ]
    assert found == []


def _forms(text: str) -> set[bytes]:
    """How a value is usually written."""
    raw = text.encode()
    return {raw, base64.b64encode(raw), quote(text).encode(), json.dumps(text)[1:-1].encode()}


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def _secret_parts(data: bytes, secrets: list[bytes]) -> Iterator[bytes]:
    """What of the secrets is in the data, or in what it is compressed from."""
    if data[:2] == b"\x1f\x8b":
        with contextlib.suppress(OSError, EOFError, zlib.error):  # a part of a file
            data += gzip.decompress(data)
    yield from {secret for secret in secrets if secret in data}
    yield from {match[0] for match in SIGNATURES.finditer(data)}


def _belongs(state: Path, path: Path, what: bytes) -> bool:
    """Whether it is where an operator's own setting is kept, for its owner alone."""
    if not path.is_relative_to(state) or BUILD_SECRET.encode() == what:
        return False
    name = str(path.relative_to(state))
    is_config = name in CONFIGS or (path.suffix == ".toml" and path.parent == state)
    return is_config and path.stat().st_mode & 0o077 == 0
