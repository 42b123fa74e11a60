"""What the release tools read of images and registries, and what they write."""

import json
import shutil
import stat
import subprocess
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from dev.releasing.errors import ReleaseError
from dev.releasing.image import Layout
from dev.releasing.registry import Login, digest_of, write_login
from dev.releasing.sbom import document
from dev.releasing.tags import parse
from pkg.testing.ports import free_port
from tests.harness.wait import eventually
from tests.packaging.oci import OWN, layout, registry

TAG = parse("krane/v1.4.0")
LOGIN = Login("user", "secret")


def purls(found: dict[str, object]) -> list[str]:
    packages = found["packages"]
    assert isinstance(packages, list)
    return [package["externalRefs"][0]["referenceLocator"] for package in packages]


def test_the_sbom_lists_what_is_in_the_layers(tmp_path: Path) -> None:
    """Promise: wheels, Debian packages of both architectures, the interpreter: once each, by names scanners know."""
    image = Layout(layout(tmp_path / "image"))
    found = document(image, TAG, 1_700_000_000)
    assert purls(found) == [
        f"pkg:oci/krane@{image.digest.replace(':', '%3A')}?repository_url=ghcr.io/sealift/krane",
        "pkg:deb/debian/libc6@2.41-12?arch=amd64",
        "pkg:deb/debian/libc6@2.41-12?arch=arm64",
        "pkg:generic/python@3.11.15",
        "pkg:pypi/grpc-io@1.85.1",
        "pkg:pypi/tomli@2.4.0",
    ]
    assert found["creationInfo"] == {
        "created": "2023-11-14T22:13:20Z",
        "creators": ["Organization: Sealift", "Tool: sealift-dev-releasing"],
    }
    relations = found["relationships"]
    assert isinstance(relations, list)
    known = {package["SPDXID"] for package in found["packages"]} | {"SPDXRef-DOCUMENT"}  # type: ignore[attr-defined]
    assert {relation[end] for relation in relations for end in ("spdxElementId", "relatedSpdxElement")} == known


def test_the_sbom_is_reproducible(tmp_path: Path) -> None:
    """Promise: the rebuild that is signed lists the same as the build that was published."""
    documents = [json.dumps(document(Layout(layout(tmp_path / name)), TAG, 1)) for name in ("one", "two")]
    assert documents[0] == documents[1]


def test_an_image_without_wheels_gets_no_sbom(tmp_path: Path) -> None:
    """Promise: a list that misses everything is not published as one."""
    with pytest.raises(ReleaseError, match="no wheel was found"):
        document(Layout(layout(tmp_path / "image", {"a": ""})), TAG, 1)
    wheels = {name: text for name, text in OWN.items() if "bin/python3" not in name}
    with pytest.raises(ReleaseError, match="no interpreter was found"):
        document(Layout(layout(tmp_path / "other", wheels)), TAG, 1)


def test_what_is_no_index(tmp_path: Path) -> None:
    """Promise: one architecture alone, or no layout at all, is not taken for the image."""
    layout(tmp_path / "image")
    with pytest.raises(ReleaseError, match="not an index"):
        Layout(tmp_path / "image_amd64").images()
    with pytest.raises(ReleaseError, match="is no OCI layout"):
        _ = Layout(tmp_path / "nothing").digest


def test_digest_of_a_tag() -> None:
    """Promise: what the registry says is known before anything is pushed; none is not the same as unknown."""
    digest = "sha256:" + "a" * 64
    with registry() as there:
        there.tags["sealift/krane:v1.4.0"] = digest
        place = f"127.0.0.1:{there.port}/sealift/krane"
        assert digest_of(f"{place}:v1.4.0", LOGIN, "http") == digest
        assert digest_of(f"{place}:v1.4.1", LOGIN, "http") is None
        with pytest.raises(ReleaseError, match="answered 403"):
            digest_of(f"{place}:v1.4.0", Login("user", "wrong"), "http")
        there.tags["sealift/krane:v1.4.0"] = "latest"
        with pytest.raises(ReleaseError, match="gave no digest"):
            digest_of(f"{place}:v1.4.0", LOGIN, "http")
        there.broken = True
        with pytest.raises(ReleaseError, match="answered 500"):
            digest_of(f"{place}:v1.4.0", LOGIN, "http")
    with pytest.raises(ReleaseError, match=r"the request to .* failed"):
        digest_of(f"{place}:v1.4.0", LOGIN, "http")


@pytest.mark.skipif(not shutil.which("docker-registry"), reason="Debian's docker-registry is not installed")
def test_digest_of_a_tag_in_a_real_registry(tmp_path: Path) -> None:
    """Promise: the same with Docker's registry, which has an index that was put there by its own API."""
    port = free_port()
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
    )
    server = subprocess.Popen(["docker-registry", "serve", str(config)], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _answers(f"http://127.0.0.1:{port}/v2/"), within_s=30, what="the registry answers")
        index = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
        put = Request(f"http://127.0.0.1:{port}/v2/sealift/krane/manifests/v1.4.0", data=index, method="PUT")
        put.add_header("Content-Type", "application/vnd.oci.image.index.v1+json")
        with urlopen(put, timeout=30) as answer:
            digest = answer.headers["Docker-Content-Digest"]
        assert digest_of(f"127.0.0.1:{port}/sealift/krane:v1.4.0", None, "http") == digest
        assert digest_of(f"127.0.0.1:{port}/sealift/krane:v1.4.1", None, "http") is None
        assert digest_of(f"127.0.0.1:{port}/sealift/never:v1.4.0", None, "http") is None
    finally:
        server.kill()
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def test_the_login_is_kept_from_others(tmp_path: Path) -> None:
    """Promise: the token is readable by its owner only, other logins stay, and no repr shows it."""
    path = tmp_path / "docker" / "config.json"
    write_login(path, "other.example", Login("a", "b"))
    path.chmod(0o644)
    write_login(path, "ghcr.io", LOGIN)
    assert json.loads(path.read_text())["auths"] == {
        "other.example": {"auth": "YTpi"},
        "ghcr.io": {"auth": LOGIN.basic},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret" not in repr(LOGIN)
