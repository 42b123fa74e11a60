"""Debian's docker-registry on a free loopback port, for tests: with and without login, token server, TLS, deletion.

`DockerRegistry` is one of them, as a context. `testing_front.FaultyFront` stands before one and makes it fail.
"""

import gzip
import hashlib
import json
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

from pkg.config import Secret
from pkg.registry.auth import Credentials
from pkg.registry.client import Answer, RegistryClient
from pkg.registry.config import RegistryConfig
from pkg.registry.manifests import MANIFEST_TYPES
from pkg.registry.testing_token import ISSUER, SERVICE, TokenServer
from pkg.testing.certificates import Authority
from pkg.testing.kubernetes.images import Image
from pkg.testing.ports import free_port

START_TIMEOUT_S = 90.0
UPLOAD_PIECE_BYTES = 1 << 19

# The accounts of the registries with login. Where there is a token server, the second may only pull.
PUSHER = Credentials("x-token", Secret("push-secret"))
PULLER = Credentials("puller", Secret("pull-secret"))
# bcrypt with the lowest cost: the only kind that the registry reads
_HTPASSWD = """\
x-token:$2b$04$xLZMRmUPLUgbQN8llyZUEuygoXYAysy/d0rpUIoLfetuzGQhKa2aW
puller:$2b$04$k5An01ob0kBlJsO7jI2.COv9ZTcapZ5mDe4WeEXNvt4bLiWn.T7Ny
"""

Login = Literal["", "basic", "token"]


class DockerRegistry:
    """One registry. It runs from `start` to `stop`; its address and what it stores stay between two starts.

    Args:
        login: "": whoever asks may do everything; "basic": PUSHER and PULLER may; "token": PUSHER may do everything,
            PULLER may pull.
        tls: whether it has a certificate, of the authority in `authority_file`, for "localhost" and 127.0.0.1.
        deletes: whether it deletes images.
        address: to listen on; engines want TLS for one that is not in 127.0.0.0/8.
        storage: an existing folder; None: one of its own.

    Attributes:
        host: its address with its port, as in names of images.
        authority_file: PEM of who signed its certificate.
    """

    def __init__(
        self,
        *,
        login: Login = "",
        tls: bool = False,
        deletes: bool = True,
        address: str = "127.0.0.1",
        storage: Path | None = None,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="slreg-", dir="/tmp"))
        self.storage = storage or self._folder / "data"
        self._authority = Authority()
        self.authority_file = self._folder / "authority.pem"
        self.authority_file.write_bytes(self._authority.pem)
        self.host = f"{address}:{free_port(address)}"
        self._login: Login = login
        self._tls = tls
        self._deletes = deletes
        self._address = address
        self._tokens = TokenServer(self._authority)
        self._tokens.grant(PUSHER, ("pull", "push", "delete"))
        self._tokens.grant(PULLER, ("pull",))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of its API."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    @property
    def realm(self) -> str:
        """Of its token server, which must run."""
        return self._tokens.url

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self._folder / "registry.log").read_text(errors="replace")

    @property
    def scopes(self) -> list[tuple[str, str]]:
        """What its token server was asked for so far: pairs of account ("": none) and scope."""
        return self._tokens.scopes

    @property
    def uploads(self) -> frozenset[Path]:
        """The layers of which it has stored a part, also those whose upload broke off."""
        return frozenset(one for one in self.storage.glob("**/_uploads/*/data") if one.stat().st_size)

    def permit(self, account: Credentials, *actions: str) -> None:
        """What its token server grants from now on, of "pull", "push" and "delete"."""
        self._tokens.grant(account, actions)

    def config(self, path: str = "apps") -> RegistryConfig:
        """The section `[registry]` of a worker that pushes below `path`."""
        url = f"{self.host}/{path}" if path else self.host
        ca_file = self.authority_file if self._tls else None
        return RegistryConfig(url=url, username=PUSHER.username, password=PUSHER.password, ca_file=ca_file)

    def client(self, credentials: Credentials | None = PUSHER) -> RegistryClient:
        """A client of this registry, which trusts its certificate. Close it."""
        return RegistryClient(self.host, credentials if self._login else None, ca_file=self.authority_file)

    def start(self) -> None:
        """Returns once it answers. Raises RuntimeError with the end of its log."""
        if self._login == "token":
            self._tokens.start()
        (self._folder / "registry.yml").write_text(self._configuration())
        with (self._folder / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_binary(), "serve", str(self._folder / "registry.yml")], stdout=log, stderr=log, cwd=self._folder
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._is_answering():
                return
            time.sleep(0.02)
        self.stop(signal.SIGKILL)
        raise RuntimeError("docker-registry did not start:\n" + self.log[-3000:])

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends the process and waits for it. Idempotent."""
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def halt(self) -> None:
        """Stops it without an end: its connections stay, and nothing is answered until `resume`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a halted process go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "DockerRegistry":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._tokens.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_answering(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/v2/", timeout=5, context=self._verifies()):  # noqa: S310
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            return False

    def _verifies(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.authority_file)) if self._tls else None

    def _configuration(self) -> str:
        http: dict[str, object] = {"addr": self.host, "secret": "test"}
        if self._tls:
            certificate, key = self._authority.issue("localhost", self._address).write(self._folder, "registry")
            http["tls"] = {"key": str(key), "certificate": str(certificate)}
        whole: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": self._deletes},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": http,
        }
        if self._login == "basic":
            (self._folder / "htpasswd").write_text(_HTPASSWD)
            whole["auth"] = {"htpasswd": {"realm": "test", "path": str(self._folder / "htpasswd")}}
        elif self._login == "token":
            whole["auth"] = {
                "token": {
                    "realm": self._tokens.url,
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(self.authority_file),
                }
            }
        return json.dumps(whole)  # JSON is YAML


@dataclass(frozen=True, slots=True)
class PutImage:
    """An image that was put into a registry.

    Attributes:
        digest: of its manifest.
        config_digest: of its configuration.
        layer: the content of its one layer.
    """

    digest: str
    config_digest: str
    layer: bytes


async def push_image(registry: DockerRegistry, image: Image) -> str:
    """Puts an image that can be run into a registry, with the account that may; its name by digest."""
    repository, _, tag = image.name.rpartition(":")
    layer = image.layer()
    async with registry.client() as client:
        put = await put_image(client, repository, tag, gzip.compress(layer, compresslevel=1), image.config(layer))
    return f"{registry.host}/{repository}@{put.digest}"


async def put_image(
    client: RegistryClient, repository: str, tag: str, layer: bytes = b"layer", config: bytes | None = None
) -> PutImage:
    """Puts an image into a registry without an engine.

    Its one layer is a tar.gz that fits the configuration; without them it can be listed, but not run.
    """
    layer_digest = await _put_blob(client, repository, layer)
    whole = {"architecture": "amd64", "os": "linux", "config": {"ExposedPorts": {"8080/tcp": {}}}}
    whole["rootfs"] = {"type": "layers", "diff_ids": [layer_digest]}
    blob = json.dumps(whole).encode() if config is None else config
    config_digest = await _put_blob(client, repository, blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPES[1],
        "config": _descriptor("application/vnd.docker.container.image.v1+json", config_digest, len(blob)),
        "layers": [_descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", layer_digest, len(layer))],
    }
    digest = await put_manifest(client, repository, tag, manifest)
    return PutImage(digest, config_digest, layer)


async def put_manifest(client: RegistryClient, repository: str, reference: str, manifest: dict[str, object]) -> str:
    """Puts a manifest whose blobs are there; its digest."""
    answer = await client.request(
        "PUT", f"/v2/{repository}/manifests/{reference}", repository=repository, actions="pull,push",
        headers={"Content-Type": str(manifest["mediaType"])}, data=json.dumps(manifest).encode(), allowed=(201,),
    )  # fmt: skip
    return answer.headers["Docker-Content-Digest"]


async def _put_blob(client: RegistryClient, repository: str, content: bytes) -> str:
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    answer = await client.request(
        "POST", f"/v2/{repository}/blobs/uploads/", repository=repository, actions="pull,push", allowed=(202,)
    )
    for at in range(0, len(content), UPLOAD_PIECE_BYTES):
        answer = await client.request(
            "PATCH", _upload(answer), repository=repository, actions="pull,push", allowed=(202,),
            data=content[at : at + UPLOAD_PIECE_BYTES], headers={"Content-Type": "application/octet-stream"},
        )  # fmt: skip
    where = f"{_upload(answer)}&digest={digest}"
    await client.request("PUT", where, repository=repository, actions="pull,push", allowed=(201,))
    return digest


def _upload(answer: Answer) -> str:
    upload = urlsplit(answer.headers["Location"])
    return f"{upload.path}?{upload.query}"


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _binary() -> str:
    found = shutil.which("docker-registry")
    if found is None:
        raise FileNotFoundError("docker-registry is missing: install Debian's package docker-registry")
    return found
