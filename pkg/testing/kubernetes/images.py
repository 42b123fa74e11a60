"""Images for a real node, made from files of this machine without an engine."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one layer.

    Attributes:
        name: with tag; for a registry, without its host.
        entrypoint: command line.
        files: content by path; a `Path` is a program of this machine, whose copy is executable.
        links: target by path.
        environment: of the container.
        ports: that it exposes.
        user: "" is root.
    """

    name: str
    entrypoint: Sequence[str]
    files: Mapping[str, bytes | Path]
    links: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()
    user: str = ""

    def archive(self) -> bytes:
        """As `docker save` writes it."""
        layer = self.layer()
        layer_id, config = hashlib.sha256(layer).hexdigest(), self.config(layer)
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = [{"Config": config_name, "RepoTags": [self.name], "Layers": [f"{layer_id}/layer.tar"]}]
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            _add(archive, config_name, config)
            _add(archive, f"{layer_id}/layer.tar", layer)
            _add(archive, "manifest.json", json.dumps(manifest).encode())
        return out.getvalue()

    def config(self, layer: bytes) -> bytes:
        """Its configuration, JSON."""
        process = {
            "Entrypoint": list(self.entrypoint),
            "Env": ["PATH=/bin", *(f"{name}={value}" for name, value in self.environment.items())],
            "ExposedPorts": {f"{port}/tcp": {} for port in self.ports},
            "User": self.user,
            "WorkingDir": "/",
        }
        layers = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
        whole = {"architecture": _ARCHITECTURES[os.uname().machine], "os": "linux", "rootfs": layers, "config": process}
        return json.dumps(whole).encode()

    def layer(self) -> bytes:
        """Its layer, a tar; the same bytes each time."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as layer:
            for path, content in self.files.items():
                is_program = isinstance(content, Path)
                data = content.read_bytes() if isinstance(content, Path) else content
                _add(layer, path.lstrip("/"), data, 0o755 if is_program else 0o644)
            for path, target in self.links.items():
                link = tarfile.TarInfo(path.lstrip("/"))
                link.type, link.linkname = tarfile.SYMTYPE, target
                layer.addfile(link)
        return out.getvalue()


def busybox_image(name: str, script: str, *, ports: Sequence[int] = (8080,), user: str = "") -> Image:
    """Runs this script in busybox's shell."""
    files: dict[str, bytes | Path] = {"/bin/busybox": BUSYBOX, "/script": script.encode()}
    files["/www/index.html"] = b"hello from a Pod\n"
    links = {"/bin/sh": "busybox"}
    return Image(name, ["/bin/sh", "/script"], files, links, ports=ports, user=user)


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    archive.addfile(member, io.BytesIO(data))
