"""The Python package as wheel and source archive, the same bytes for the same commit."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from dev.releasing.errors import ReleaseError

CHECKSUMS = "SHA256SUMS"
_TIMEOUT_S = 300


def build(root: Path, out: Path, epoch: int) -> list[Path]:
    """Builds both into the empty or missing folder `out` with this interpreter's hatchling; adds SHA256SUMS.

    Not `python -m build`: at the root of this repository that is our own package of that name.

    Args:
        root: the repository.
        out: where to.
        epoch: seconds since 1970, the time of every file in them.

    Raises:
        ReleaseError: The folder holds something, or hatchling fails.
    """
    if out.exists() and any(out.iterdir()):
        raise ReleaseError(f"{out} is not empty; remove what is in it")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out.resolve())]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(
        command, cwd=root, env=environment, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    if done.returncode:
        raise ReleaseError(f"hatchling failed: {done.stderr.strip()[-2000:]}")
    made = sorted(out.iterdir())
    (out / CHECKSUMS).write_text(checksums(made), encoding="utf-8")
    return made


def checksums(paths: list[Path]) -> str:
    """Lines as `sha256sum --check` reads them."""
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(paths))
