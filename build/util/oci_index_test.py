import hashlib
import json
from pathlib import Path

import pytest

from build.util.oci_index import join, parse_annotations


def layout(folder: Path, arch: str, count: int = 1) -> Path:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def add(value: object) -> dict[str, object]:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": "application/json", "digest": f"sha256:{digest}", "size": len(data)}

    config = {"os": "linux", "architecture": arch, **({"variant": "v8"} if arch == "arm64" else {})}
    manifest = add({"config": add(config), "layers": []})
    (folder / "index.json").write_text(json.dumps({"manifests": [manifest] * count}))
    return folder


def test_the_index_names_each_platform(tmp_path: Path) -> None:
    """Promise: a registry can serve either architecture, with its annotations, from complete blobs."""
    images = [layout(tmp_path / arch, arch) for arch in ("amd64", "arm64")]
    digest = join(tmp_path / "out", {"org.opencontainers.image.title": "x"}, images)
    out = tmp_path / "out" / "blobs" / "sha256"
    index = json.loads((out / digest.removeprefix("sha256:")).read_bytes())
    assert index["annotations"] == {"org.opencontainers.image.title": "x"}
    assert [manifest["platform"] for manifest in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    assert [
        descriptor["digest"] for descriptor in json.loads((tmp_path / "out/index.json").read_bytes())["manifests"]
    ] == [digest]
    for blob in out.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    assert {manifest["digest"].removeprefix("sha256:") for manifest in index["manifests"]} <= {
        b.name for b in out.iterdir()
    }


def test_the_same_images_give_the_same_digest(tmp_path: Path) -> None:
    """Promise: byte for byte."""
    images = [layout(tmp_path / arch, arch) for arch in ("amd64", "arm64")]
    assert join(tmp_path / "a", {"k": "v", "a": "b"}, images) == join(tmp_path / "b", {"a": "b", "k": "v"}, images)


def test_an_index_is_unambiguous(tmp_path: Path) -> None:
    """Promise: no platform twice, no layout that holds several images."""
    one, two = layout(tmp_path / "one", "amd64"), layout(tmp_path / "two", "amd64")
    with pytest.raises(ValueError, match="same platform"):
        join(tmp_path / "out", {}, [one, two])
    with pytest.raises(ValueError, match="2 images"):
        join(tmp_path / "out2", {}, [layout(tmp_path / "three", "arm64", 2)])


def test_annotations_are_lines() -> None:
    """Promise: values may hold anything but a line break."""
    assert parse_annotations("a=b=c\n\nd=\n") == {"a": "b=c", "d": ""}
    with pytest.raises(ValueError, match="not name=value: 'x'"):
        parse_annotations("x\n")
