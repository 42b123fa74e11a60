"""The shell steps of the release workflows, run in a scratch repository; Bazel and cosign are stand-ins that record."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dev.releasing.image import Layout
from tests.packaging.oci import Registry, layout, registry
from tests.packaging.scratch import Scratch, environment, make, with_tools

# Builds and finds a layout that is there; a push sends the registry its digest.
BAZEL = """#!/bin/sh
echo "$@ version=$RELEASE_VERSION$GHCR_TOKEN" >>"$RECORD"
for argument in "$@"; do
  case $argument in --bazelrc=*) cat "${argument#*=}" >>"$RECORD.rc" ;; esac
done
case " $* " in
  *" cquery "*) echo "$LAYOUT" ;;
  *" run "*) curl -fsS -X PUT --data-raw "$DIGEST" "$PUSH_TO" ;;
esac
"""
COSIGN = '#!/bin/sh\necho "$@" >>"$RECORD"\n'
TAG = "krane/v1.4.0"


@dataclass
class ReleaseRepository:
    """A clone at a tag, and what its steps see."""

    scratch: Scratch
    registry: Registry
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.scratch.root, env={**environment(), **self.variables},
            check=False, capture_output=True, text=True, timeout=100,
        )  # fmt: skip

    def image(self, *mode: str) -> subprocess.CompletedProcess[str]:
        return self.run("dev/ci/image.sh", TAG, "//build/krane", "out", *mode)

    def record(self) -> list[str]:
        path = Path(self.variables["RECORD"])
        return path.read_text().splitlines() if path.exists() else []

    def pushes(self) -> int:
        return sum("run --config=ci --config=release //build/krane:push" in line for line in self.record())


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseRepository]:
    scratch = with_tools(make(tmp_path, monkeypatch))
    scratch.tag(TAG)
    (tmp_path / "bin").mkdir()
    for name, text in {"bazel": BAZEL, "cosign": COSIGN}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    image = layout(tmp_path / "image")
    with registry() as there:
        made = ReleaseRepository(scratch, there, tmp_path)
        place = f"127.0.0.1:{there.port}"
        made.variables = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "RECORD": str(tmp_path / "record"),
            "LAYOUT": str(image),
            "DIGEST": Layout(image).digest,
            "PUSH_TO": f"http://{place}/v2/sealift/krane/manifests/v1.4.0",
            "REGISTRY_REFERENCE": f"{place}/sealift/krane:v1.4.0",
            "GHCR_USER": "user",
            "GHCR_TOKEN": "secret",
        }
        yield made


def test_check_of_a_tag(release: ReleaseRepository) -> None:
    """Promise: the first step's outputs are what the next jobs need, and a refusal ends the run with a reason."""
    done = release.run(sys.executable, "-m", "dev.releasing.ci", "check", "service", TAG)
    assert done.stdout == "name=krane\nversion=v1.4.0\npackage=//build/krane\nprerelease=false\n"
    done = release.run(sys.executable, "-m", "dev.releasing.ci", "check", "cli", TAG)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("::error::krane/v1.4.0 is no tag of the command line")


def test_publishes_once(release: ReleaseRepository) -> None:
    """Promise: the version comes from the tag; a repeated run pushes nothing and ends the same."""
    done = release.image("push")
    assert done.returncode == 0, done.stderr
    assert release.registry.tags == {"sealift/krane:v1.4.0": release.variables["DIGEST"]}
    assert all(line.endswith("version=v1.4.0") for line in release.record())
    assert (release.scratch.root / "out" / "digest").read_text() == release.variables["DIGEST"] + "\n"
    assert "pkg:pypi/tomli@2.4.0" in (release.scratch.root / "out" / "sbom.spdx.json").read_text()
    assert release.pushes() == 1
    again = release.image("push")
    assert again.returncode == 0, again.stderr
    assert release.pushes() == 1


def test_never_overwrites(release: ReleaseRepository, tmp_path: Path) -> None:
    """Promise: a published version keeps its bytes, even if the tag is moved."""
    other = Layout(layout(tmp_path / "other", text="other")).digest
    release.registry.tags["sealift/krane:v1.4.0"] = other
    done = release.image("push")
    assert done.returncode == 1
    assert f"is {other} in the registry" in done.stderr
    assert release.pushes() == 0
    assert release.registry.tags["sealift/krane:v1.4.0"] == other


def test_does_not_push_blindly(release: ReleaseRepository) -> None:
    """Promise: nothing is pushed to a registry that can't say what it holds."""
    release.registry.broken = True
    assert release.image("push").returncode == 1
    assert release.pushes() == 0


def test_a_push_that_did_not_arrive(release: ReleaseRepository) -> None:
    """Promise: what is released is what the registry has, not what a tool reported."""
    release.variables["PUSH_TO"] = release.variables["PUSH_TO"].replace("v1.4.0", "v9.9.9")
    done = release.image("push")
    assert done.returncode == 1
    assert "is not in the registry" in done.stderr


def test_the_rebuild_signs_only_what_was_published(release: ReleaseRepository, tmp_path: Path) -> None:
    """Promise: without push nothing is pushed, and other bytes or none are refused."""
    assert "is not in the registry" in release.image().stderr
    release.registry.tags["sealift/krane:v1.4.0"] = Layout(layout(tmp_path / "other", text="other")).digest
    assert release.image().returncode == 1
    release.registry.tags["sealift/krane:v1.4.0"] = release.variables["DIGEST"]
    assert release.image().returncode == 0
    assert release.pushes() == 0


@pytest.mark.parametrize(
    ("cache", "config"), [("write", "remote"), ("read", "remote-readonly"), ("", "remote-readonly")]
)
def test_the_cache_is_read_only_by_default(release: ReleaseRepository, cache: str, config: str) -> None:
    """Promise: only code of main writes to the cache, and its key is on no command line."""
    release.variables |= {"CACHE": cache, "REMOTE_CACHE": "https://cache.example", "DEPOT_CACHE_TOKEN": "depot-key"}
    assert release.run("dev/ci/bazel.sh", "build", "//x").returncode == 0
    assert Path(f"{release.variables['RECORD']}.rc").read_text().splitlines() == [
        f"build:{config} --remote_cache=https://cache.example",
        f"build:{config} --remote_header=authorization=depot-key",
        f"build --config={config}",
    ]
    assert "depot-key" not in release.record()[0]
    rc = Path(release.record()[0].split()[0].removeprefix("--bazelrc="))
    assert not rc.exists()


def test_without_a_cache_bazel_works_alone(release: ReleaseRepository) -> None:
    """Promise: a fork's job, which gets no key, builds all the same."""
    release.variables |= {"CACHE": "write", "REMOTE_CACHE": "https://cache.example"}
    assert release.run("dev/ci/bazel.sh", "build", "//x").returncode == 0
    assert release.record() == ["build //x version="]


def test_signs_by_digest(release: ReleaseRepository) -> None:
    """Promise: a tag can't be swapped between the build and its signature."""
    image = f"ghcr.io/sealift/krane@{release.variables['DIGEST']}"
    assert release.run("dev/ci/sign.sh", image, "out/sbom.spdx.json").returncode == 0
    assert release.record() == [
        f"sign --yes --recursive {image}",
        f"attest --yes --type spdxjson --predicate out/sbom.spdx.json {image}",
    ]


def test_notes_of_a_tag(release: ReleaseRepository) -> None:
    """Promise: notes begin at that service's last tag."""
    release.scratch.commit("Change krane", {"svc/krane/run.py": "def run() -> int:\n    return 3\n"})
    release.scratch.commit("Change api", {"svc/api/run.py": "def run() -> int:\n    return 3\n"})
    release.scratch.tag("krane/v1.4.1")
    release.scratch.tag("api/v1.0.0")
    done = release.run(
        sys.executable, "-m", "dev.releasing.ci", "notes", "krane/v1.4.1", "out.md", "--digest", "sha256:1"
    )
    assert (done.returncode, done.stdout) == (0, "previous=krane/v1.4.0\n")
    notes = (release.scratch.root / "out.md").read_text()
    assert "* Change krane (" in notes
    assert "Change api" not in notes


def test_distributions_are_the_same_twice(release: ReleaseRepository) -> None:
    """Promise: the step that builds the package compares two builds and leaves checksums that check."""
    release.scratch.tag("cli/v0.1.0")
    (release.scratch.root / ".venv" / "bin").mkdir(parents=True)
    (release.scratch.root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    # A link is no virtual environment: the packages are found by path.
    release.variables["PYTHONPATH"] = next(path for path in sys.path if path.endswith("site-packages"))
    done = release.run("dev/ci/distributions.sh", "cli/v0.1.0", "out")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (release.scratch.root / "out").iterdir())
    assert names == ["SHA256SUMS", "sealift-0.1.0-py3-none-any.whl", "sealift-0.1.0.tar.gz"]
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release.scratch.root / "out", check=True
    )
    assert check.returncode == 0
    again = release.run("dev/ci/distributions.sh", "cli/v0.1.0", "out")
    assert "is not empty" in again.stderr
