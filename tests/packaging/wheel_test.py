"""The wheel of the command line: what is in it, that it needs just what it says, that it is the same each time."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from dev.releasing.distributions import build
from sealift import __version__
from tests.packaging.repository import ROOT, files

EPOCH = 1_700_000_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built")
    build(ROOT, out, EPOCH)
    return out


def wheel(folder: Path) -> Path:
    (found,) = folder.glob("*.whl")
    return found


def requirements(folder: Path) -> list[Requirement]:
    """What the wheel asks for, without extras."""
    with zipfile.ZipFile(wheel(folder)) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])
    found = [Requirement(line) for line in lines]
    return [each for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]


def test_two_builds_are_the_same(built: Path, tmp_path: Path) -> None:
    """Promise: the same commit gives the same bytes, so the one that publishes can compare with the one that built."""
    os.utime(ROOT / "sealift" / "__init__.py")
    made = build(ROOT, tmp_path / "again", EPOCH)
    assert [path.name for path in made] == [f"sealift-{__version__}-py3-none-any.whl", f"sealift-{__version__}.tar.gz"]
    assert [path.read_bytes() for path in made] == [(built / path.name).read_bytes() for path in made]
    assert (tmp_path / "again" / "SHA256SUMS").read_text() == (built / "SHA256SUMS").read_text()


def test_the_time_in_them_is_the_commits(built: Path) -> None:
    """Promise: no clock of a build machine is in them."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        assert {member.mtime for member in archive} == {EPOCH}
    with zipfile.ZipFile(wheel(built)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(2023, 11, 14, 22, 13, 20)}


def test_the_wheel_holds_the_package_only(built: Path) -> None:
    """Promise: no service, no test, no tool of ours reaches users; and nothing of the package is missing."""
    with zipfile.ZipFile(wheel(built)) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    tracked = [str(path.relative_to(ROOT)) for path in files("sealift/*.py", "sealift/*.pyi")]
    ours = [name for name in tracked if not re.search(r"(_test|/conftest|/testing\w*)\.py$", name)]
    assert sorted(names) == sorted(ours)


def test_the_source_archive_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """Promise: who builds from source gets what others install."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path)  # our own; Debian 12's Python knows no filter yet
    out = tmp_path / "out"
    source = tmp_path / f"sealift-{__version__}"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True, timeout=100)
    assert wheel(out).read_bytes() == wheel(built).read_bytes()


def test_floors_are_what_the_generated_code_demands(built: Path) -> None:
    """Promise: no version may be installed that the generated code refuses, and none is shut out that would do."""
    floors = {
        each.name: next(Version(s.version) for s in each.specifier if s.operator == ">=")
        for each in requirements(built)
    }
    messages = {
        re.findall(r"Protobuf Python Version: (\S+)", path.read_text())[0] for path in files("sealift/*_pb2.py")
    }
    services = {
        re.findall(r"GRPC_GENERATED_VERSION = '(\S+)'", path.read_text())[0] for path in files("sealift/*_pb2_grpc.py")
    }
    assert messages == {str(floors["protobuf"])}
    assert services == {str(floors["grpcio"])}


def test_it_asks_for_no_docker(built: Path) -> None:
    """Promise: users of the command line install no engine's client."""
    assert "docker" not in {each.name for each in requirements(built)}


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and of the locked packages only those it asks for, and what those ask for."""
    home = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(home, symlinks=True)
    (packages,) = home.glob("lib/python3*/site-packages")
    todo = requirements(built)
    seen: set[str] = set()
    while todo:
        name = canonicalize_name(todo.pop().name)
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        for file in found.files or []:
            if file.parts[0] != ".." and "__pycache__" not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                (packages / file).symlink_to(Path(str(found.locate_file(file))))
        wanted = [Requirement(line) for line in found.requires or []]
        todo += [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    command = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "-q", "--no-deps"]
    options = ["--no-index", "--disable-pip-version-check", str(wheel(built))]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=100)
    return home


def run(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "TERM": "dumb"}
    return subprocess.run(
        [str(home / "bin" / command[0]), *command[1:]],
        cwd=home, env=environment, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_it_runs_where_only_it_is_installed(installed: Path) -> None:
    """Promise: `pip install sealift` gives a command that starts and says its version."""
    done = run(installed, "sealift", "--version")
    assert (done.returncode, done.stdout) == (0, f"sealift {__version__}\n"), done.stderr
    done = run(installed, "sealift", "version", "--client")
    assert (done.returncode, done.stdout.split()[-1]) == (0, __version__), done.stderr
    done = run(installed, "sealift", "--help")
    assert done.returncode == 0
    assert "deploy" in done.stdout


def test_every_module_finds_what_it_needs(installed: Path) -> None:
    """Promise: no command fails later for a package that the wheel does not ask for."""
    walk = (
        "import importlib, pkgutil, sealift\n"
        "names = [m.name for m in pkgutil.walk_packages(sealift.__path__, 'sealift.')]\n"
        "[importlib.import_module(name) for name in names]\n"
        "print(len(names), sealift.__file__)\n"
    )
    done = run(installed, "python", "-c", walk)
    assert done.returncode == 0, done.stderr
    count, place = done.stdout.split()
    assert int(count) > 40
    assert Path(place).is_relative_to(installed)
