"""The keys of an installation on a real API server: made once, never changed; what only people know is named."""

from collections.abc import Iterator

import pytest

from dev.k8s.installation_secrets import OWN, main
from dev.k8s.rendering import NAMESPACE, OVERLAYS
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.parts import prepared_part
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of its own: the names of these Secrets are fixed."""
    with ControlPlane() as one:
        yield one


@pytest.fixture(autouse=True)
def cluster(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = prepared_part("kubernetes") / "root/usr/bin"
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))


def values(plane: ControlPlane) -> dict[str, dict[str, str]]:
    items = plane.get("secrets", "-n", NAMESPACE)["items"]
    return {item["metadata"]["name"]: item["data"] for item in items if item["metadata"]["name"] in OWN}


def test_keys_are_made_once(plane: ControlPlane, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: each key of the local overlay is made, none is changed by another run, no value is printed."""
    assert main([str(OVERLAYS / "local")]) == 0
    made = values(plane)
    assert {name: set(data) for name, data in made.items()} == {name: set(files) for name, files in OWN.items()}
    assert main([str(OVERLAYS / "local")]) == 0
    assert values(plane) == made
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"made Secret {name}" for name in sorted(OWN)]
    assert said.err == ""


def test_one_that_was_deleted_is_made_again(plane: ControlPlane) -> None:
    """Promise: the others stay: a lost admin key does not cost the sealed variables."""
    assert main([str(OVERLAYS / "local")]) == 0
    before = values(plane)
    plane.kubectl("delete", "secret", "-n", NAMESPACE, "sealift-admin-key")
    assert main([str(OVERLAYS / "local")]) == 0
    after = values(plane)
    assert {name for name in OWN if before[name] != after[name]} == {"sealift-admin-key"}


def test_what_only_people_know_is_named(plane: ControlPlane, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: a missing Secret and a missing key of one are named, with what they need; nothing is invented."""
    assert main([str(OVERLAYS / "production")]) == 1
    missing = capsys.readouterr().err
    assert "Secret depot-credentials is missing in namespace sealift" in missing
    assert "s3-access-key-id, s3-access-key-secret, s3-url, token" in missing
    assert "Secret depot-registry is missing" in missing
    plane.kubectl("create", "secret", "generic", "-n", NAMESPACE, "depot-credentials", "--from-literal=token=t")
    assert main([str(OVERLAYS / "production")]) == 1
    assert "Secret depot-credentials in namespace sealift lacks: s3-access-key-id" in capsys.readouterr().err


def test_a_cluster_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: kubectl's own words, and no traceback."""
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    assert main([str(OVERLAYS / "local")]) == 1
    assert "kubectl" in capsys.readouterr().err
