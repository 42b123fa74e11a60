"""A scratch repository: a clone and its origin, with services, the command line and tags of its own."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.repository import ROOT

SERVICES = ("api", "krane", "worker")


@dataclass(frozen=True)
class Scratch:
    """Real git in temporary folders. Commits have rising times."""

    root: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(),
        )
        return done.stdout.strip()

    def commit(self, subject: str, files: dict[str, str], *, push: bool = True) -> str:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.git("add", "-A")
        self.git("commit", "-qm", subject)
        if push:
            self.git("push", "-q", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    def tag(self, name: str) -> None:
        self.git("tag", "-a", "-m", name, name)


def environment() -> dict[str, str]:
    """git without the settings of the user."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.com",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.com",
    }


def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """A clone in `folder`, with one commit on main that is pushed."""
    for key, value in environment().items():
        monkeypatch.setenv(key, value)
    subprocess.run(
        ["git", "init", "-q", "--bare", "-b", "main", str(folder / "origin.git")],
        check=True,
        timeout=60,
        env=environment(),
    )
    subprocess.run(
        ["git", "clone", "-q", str(folder / "origin.git"), str(folder / "clone")],
        check=True,
        capture_output=True,
        timeout=60,
        env=environment(),
    )
    made = Scratch(folder / "clone")
    made.git("checkout", "-q", "-b", "main")
    first = {"README.md": "Scratch", "pkg/__init__.py": "", "pkg/shared.py": "ONE = 1\n", "docs/page.md": "Page"}
    for service in SERVICES:
        first |= {
            f"build/{service}/__init__.py": "",
            f"build/{service}/main.py": f"from svc.{service}.run import run\n",
            f"svc/{service}/__init__.py": "",
            f"svc/{service}/run.py": "from pkg.shared import ONE\n\n\ndef run() -> int:\n    return ONE\n",
        }
    first |= {
        "build/__init__.py": "",
        "svc/__init__.py": "",
        "svc/krane/run_test.py": "def test_run() -> None: ...\n",
        "requirements_lock.txt": "",
        "pyproject.toml": (
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
            '[project]\nname = "sealift"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
        ),
        "sealift/__init__.py": '"""Scratch."""\n\n__version__ = "0.1.0"\n',
    }
    made.commit("Begin", first)
    made.git("fetch", "-q", "origin")
    return made


def with_tools(scratch: Scratch) -> Scratch:
    """Commits this repository's release tools into the scratch repository, as CI finds them there."""
    for folder in ("dev/releasing", "dev/ci", "dev/bazel"):
        shutil.copytree(
            ROOT / folder, scratch.root / folder, ignore=shutil.ignore_patterns("__pycache__", "BUILD.bazel")
        )
    shutil.copy(ROOT / "dev" / "__init__.py", scratch.root / "dev" / "__init__.py")
    shutil.copy(ROOT / "dev" / "release", scratch.root / "dev" / "release")
    scratch.commit("Add the tools", {".gitignore": "/.venv\n/out*\n__pycache__/\n"})
    return scratch
