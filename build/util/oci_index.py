"""Joins OCI layouts of one image each into a layout of one index: `oci_index.py OUT ANNOTATIONS IMAGE...`.

A build step: only the standard library, the same bytes for the same inputs.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


def join(out: Path, annotations: dict[str, str], images: Sequence[Path]) -> str:
    """Writes the layout to `out` (made if missing) and returns the digest of the index.

    Raises:
        ValueError: A layout holds not exactly one image, or two are for the same platform.
    """
    blobs = out / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    manifests: list[dict[str, Any]] = []
    for image in images:
        manifests.append(_described(image))
        for blob in sorted((image / "blobs" / "sha256").iterdir()):
            shutil.copyfile(blob, blobs / blob.name)
    platforms = [json.dumps(manifest["platform"], sort_keys=True) for manifest in manifests]
    if len(set(platforms)) != len(platforms):
        raise ValueError(f"two images are for the same platform: {', '.join(platforms)}")
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": annotations}
    data = _bytes(index)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    descriptor = {"mediaType": INDEX, "digest": f"sha256:{digest}", "size": len(data)}
    (out / "index.json").write_bytes(_bytes({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]}))
    (out / "oci-layout").write_bytes(_bytes({"imageLayoutVersion": "1.0.0"}))
    return f"sha256:{digest}"


def parse_annotations(text: str) -> dict[str, str]:
    """Lines of name=value; empty lines count for nothing.

    Raises:
        ValueError: A line without "=".
    """
    lines = [line for line in text.splitlines() if line]
    if wrong := [line for line in lines if "=" not in line]:
        raise ValueError(f"not name=value: {wrong[0]!r}")
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _described(image: Path) -> dict[str, Any]:
    manifests = json.loads((image / "index.json").read_bytes())["manifests"]
    if len(manifests) != 1:
        raise ValueError(f"{image} holds {len(manifests)} images, not one")
    descriptor: dict[str, Any] = manifests[0]
    config = _blob(image, _blob(image, descriptor["digest"])["config"]["digest"])
    platform = {key: config[key] for key in _PLATFORM if config.get(key)}
    return {key: descriptor[key] for key in ("mediaType", "digest", "size")} | {"platform": platform}


def _blob(image: Path, digest: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((image / "blobs" / digest.replace(":", "/")).read_bytes())
    return content


def _bytes(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


if __name__ == "__main__":
    out, annotations, *images = map(Path, sys.argv[1:])
    join(out, parse_annotations(annotations.read_text(encoding="utf-8")), images)
