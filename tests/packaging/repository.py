"""The repository as the packaging tests see it."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# As their folders in build/ and svc/ are called.
SERVICES = sorted(path.parent.name for path in (ROOT / "build").glob("*/main.py"))
# And ready-made programs: every folder in build/ that makes an image.
IMAGES = sorted(
    path.parent.name
    for path in (ROOT / "build").glob("*/BUILD.bazel")
    if "\nservice_image(" in path.read_text(encoding="utf-8") or "\nprogram_image(" in path.read_text(encoding="utf-8")
)


def git(*arguments: str) -> str:
    """What git says, free of the settings of the user who runs it; skips the test outside a clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    command = ["git", "-c", "core.excludesFile=/dev/null", "-c", f"safe.directory={ROOT}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout


@cache
def files(*patterns: str) -> tuple[Path, ...]:
    """Tracked files, and those that would be with `git add .`: a rule holds before the commit, too."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns).split("\0")
    return tuple(sorted({ROOT / name for name in listed if name and (ROOT / name).is_file()}))
