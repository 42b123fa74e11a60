"""An image as Bazel leaves it: an OCI layout with one index, one image per architecture in it."""

import gzip
import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.releasing.errors import ReleaseError

# The program, or its library if it is a separate one: the version stands in it.
INTERPRETER = re.compile(r"opt/python/(?:bin/python3|lib/libpython3)[.\w]*")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Layout:
    """The OCI layout in the folder `root`."""

    root: Path

    @property
    def digest(self) -> str:
        """Of the index, as sha256:...; it is what the registry will say.

        Raises:
            ReleaseError: The folder holds no layout, or one of several images.
        """
        try:
            manifests = json.loads((self.root / "index.json").read_bytes())["manifests"]
        except (OSError, ValueError, KeyError) as error:
            raise ReleaseError(f"{self.root} is no OCI layout: {error}; build //build/<service>:image first") from error
        if len(manifests) != 1:
            raise ReleaseError(f"{self.root} holds {len(manifests)} manifests, not one index")
        digest: str = manifests[0]["digest"]
        return digest

    def images(self) -> list[tuple[str, dict[str, Any]]]:
        """(architecture, manifest) of each image in the index, in its order."""
        index = self.read(self.digest)
        if "manifests" not in index:
            raise ReleaseError(f"{self.digest} in {self.root} is one image, not an index of several")
        return [(each["platform"]["architecture"], self.read(each["digest"])) for each in index["manifests"]]

    def read(self, digest: str) -> dict[str, Any]:
        """The JSON blob with that digest."""
        content: dict[str, Any] = json.loads(self._blob(digest).read_bytes())
        return content

    def files(self, manifest: dict[str, Any]) -> Iterator[tuple[str, bytes | None]]:
        """(path, content) of each file in the layers, bottom first; content only of files that hold a version."""
        for layer in manifest["layers"]:
            with _opened(self._blob(layer["digest"]), layer["digest"]) as archive:
                for member in archive:
                    if not member.isfile():
                        continue
                    name = member.name.removeprefix("./").lstrip("/")
                    stream = archive.extractfile(member) if _is_metadata(name) else None
                    yield name, stream.read() if stream else None

    def _blob(self, digest: str) -> Path:
        return self.root / "blobs" / digest.replace(":", "/")


def _is_metadata(name: str) -> bool:
    return (
        name.endswith(".dist-info/METADATA")
        or (name.startswith("var/lib/dpkg/status") and not name.endswith(".md5sums"))
        or INTERPRETER.fullmatch(name) is not None
    )


@contextmanager
def _opened(path: Path, digest: str) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as raw:
        start = raw.read(2)
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if start == _GZIP else raw
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                yield archive
        except tarfile.TarError as error:
            raise ReleaseError(f"layer {digest} cannot be read: {error}; only plain and gzip layers can") from error
