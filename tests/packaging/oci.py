"""Small OCI layouts, and a registry that asks for a token as ghcr.io does."""

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from build.util.oci_index import join

Files = dict[str, str]
BASE: Files = {
    "var/lib/dpkg/status.d/libc6": "Package: libc6\nArchitecture: {arch}\nVersion: 2.41-12\nDescription: libc\n",
    "var/lib/dpkg/status.d/libc6.md5sums": "Package: wrong\nVersion: 0\n",
}
OWN: Files = {
    "opt/python/lib/python3.11/os.py": "",
    "opt/python/bin/python3": "\x7fELF..\x003.11.15\x00..\x003.45.1\x00..\x003.11.%d\x00",
    "app/site-packages/Grpc_Io-1.85.1.dist-info/METADATA": "Name: Grpc_Io\nVersion: 1.85.1\n\nVersion: no",
    "app/site-packages/tomli-2.4.0.dist-info/METADATA": "Metadata-Version: 2.4\nName: tomli\nVersion: 2.4.0\n",
    "app/src/svc/krane/run.py": "",
}


def layout(out: Path, files: Files = OWN, *, text: str = "") -> Path:
    """The layout of an index of two architectures; `text` makes another content of the same kind."""
    images = []
    for arch in ("amd64", "arm64"):
        image = out.with_name(f"{out.name}_{arch}")
        _image(image, arch, [BASE, {**files, "app/src/text": text}])
        images.append(image)
    join(out, {"org.opencontainers.image.title": "test"}, images)
    return out


def _image(out: Path, arch: str, layers: list[Files]) -> None:
    (out / "blobs" / "sha256").mkdir(parents=True)
    # One plain and the others compressed: both kinds are out there.
    blobs = [_layer(files, arch) for files in layers]
    stored = [blobs[0], *(gzip.compress(blob, mtime=0) for blob in blobs[1:])]
    config = {
        "architecture": arch,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [_digest(b) for b in blobs]},
    }
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": _stored(out, json.dumps(config).encode(), f"{kind}.config.v1+json"),
        "layers": [
            _stored(out, blob, f"{kind}.layer.v1.tar" + ("+gzip" if number else ""))
            for number, blob in enumerate(stored)
        ],
    }
    descriptor = _stored(out, json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    (out / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))


def _layer(files: Files, arch: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            data = text.replace("{arch}", arch).encode()
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _stored(out: Path, data: bytes, kind: str) -> dict[str, Any]:
    digest = _digest(data)
    (out / "blobs" / digest.replace(":", "/")).write_bytes(data)
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Registry:
    """What a registry holds, `repository:tag` to digest, and the requests to it.

    Attributes:
        broken: it answers everything with 500.
    """

    port: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    broken: bool = False


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        state: Registry = self.server.state  # type: ignore[attr-defined]
        state.requests.append(self.path)
        repository, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
        if state.broken:
            return self._answer(500)
        if self.headers.get("Authorization") != f"Bearer for-{repository}":
            realm = f'Bearer realm="http://127.0.0.1:{state.port}/token",service="test",scope="repository:{repository}:pull"'
            return self._answer(401, {"WWW-Authenticate": realm})
        if digest := state.tags.get(f"{repository}:{tag}"):
            return self._answer(200, {"Docker-Content-Digest": digest})
        return self._answer(404)

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic dXNlcjpzZWNyZXQ=":  # user:secret
            return self._answer(403)
        repository = parse_qs(urlsplit(self.path).query)["scope"][0].split(":")[1]
        return self._answer(200, body=json.dumps({"token": f"for-{repository}"}).encode())

    def do_PUT(self) -> None:
        """Stands for a push: the body is the digest."""
        state: Registry = self.server.state  # type: ignore[attr-defined]
        repository, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
        state.tags[f"{repository}:{tag}"] = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(201)

    def _answer(self, code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def registry() -> Iterator[Registry]:
    """A registry on a free port of loopback; its user is "user", the password "secret"."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    state = server.state = Registry(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
