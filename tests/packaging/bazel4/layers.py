"""`python -m tests.packaging.bazel4.layers TREE [BEFORE]`: sizes of what was built; compared with BEFORE, what changed.

Fails if more than the layer of own code of an image is new.
"""

import gzip
import io
import json
import sys
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ARCHES = ("amd64", "arm64")


@dataclass(frozen=True)
class Layer:
    """A layer of an image: digest, size in bytes as sent, and the names in it."""

    digest: str
    size: int
    names: frozenset[str]

    @property
    def kind(self) -> str:
        """Which layer of ours it is, by its contents; "base" for others."""
        for kind, mark in (
            ("interpreter", "opt/python/bin/python3"),
            ("envoy", "app/site-packages/envoy/_bin/envoy"),
            ("grpc", "app/site-packages/grpc/__init__.py"),
            ("cryptography", "app/site-packages/cryptography/__init__.py"),
            ("sqlalchemy", "app/site-packages/sqlalchemy/__init__.py"),
            ("aws", "app/site-packages/botocore/__init__.py"),
            ("wheels", "app/site-packages/msgspec/__init__.py"),
            ("code", "app/src/build/__init__.py"),
            ("stamp", "app/src/pkg/buildinfo/buildinfo.json"),
        ):
            if mark in self.names:
                return kind
        return "base"


def layers(layout: Path) -> list[Layer]:
    """The layers of the one image in an OCI layout, the lowest first."""
    manifest = document(layout, json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"])
    return [_layer(layout.resolve(), each["digest"], each["size"]) for each in manifest["layers"]]


def document(layout: Path, digest: str) -> dict[str, Any]:
    """A JSON blob."""
    found: dict[str, Any] = json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())
    return found


@cache
def _layer(layout: Path, digest: str, size: int) -> Layer:
    data = gzip.decompress((layout / "blobs" / digest.replace(":", "/")).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = frozenset(member.name.removeprefix("./") for member in archive if not member.isdir())
    return Layer(digest, size, names)


def built(tree: Path) -> dict[str, dict[str, tuple[str, int]]]:
    """Image to kind of layer to digest and size."""
    found = {}
    for main in sorted(tree.glob("build/*/main.py")):
        for arch in ARCHES:
            layout = tree / "bazel-bin" / "build" / main.parent.name / f"image_linux_{arch}"
            found[f"{main.parent.name} {arch}"] = {layer.kind: (layer.digest, layer.size) for layer in layers(layout)}
    return found


def main(arguments: list[str]) -> int:
    """Prints JSON; 1 if another layer than that of own code is new."""
    now = built(Path(arguments[0]))
    if len(arguments) == 1:
        print(json.dumps(now))
        return 0
    before = json.loads(Path(arguments[1]).read_text())
    changed = {
        image: {kind: size for kind, (digest, size) in kinds.items() if digest != before[image][kind][0]}
        for image, kinds in now.items()
    }
    print(json.dumps(changed))
    wrong = {image: kinds for image, kinds in changed.items() if set(kinds) != {"code"}}
    if wrong:
        print(f"a change of one line made these layers new: {wrong}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
