import importlib.util
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from build.util import bytecode
from pkg.testing.wait import WAIT_S


def test_what_is_compiled_is_what_runs(tmp_path: Path) -> None:
    """Promise: Python takes the bytecode, without a look at the source."""
    source, out = tmp_path / "m.py", tmp_path / "__pycache__" / f"m.{sys.implementation.cache_tag}.pyc"
    source.write_text("WHAT = 'compiled once'\n")
    bytecode.compile_all([f"{source}\tapp/src/m.py\t{out}"])
    assert out.read_bytes()[:8] == importlib.util.MAGIC_NUMBER + b"\1\0\0\0"
    source.write_text("WHAT = 'compiled again'\n")
    done = subprocess.run(
        [sys.executable, "-B", "-c", "import m; print(m.WHAT)"],
        cwd=tmp_path, capture_output=True, text=True, timeout=WAIT_S, check=True,
    )  # fmt: skip
    assert done.stdout == "compiled once\n"


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    """Promise: neither the clock, nor the folder, nor the seed of hashes is in an image."""
    made = []
    for name in ("one", "another"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "m.py").write_text("NAMES = {'a', 'b', 'c'}\ndef has(x):\n    return x in {'p', 'q', 'r', 's'}\n")
        (folder / "list").write_text(f"{folder}/m.py\tapp/src/m.py\t{folder}/m.pyc\n")
        subprocess.run([sys.executable, bytecode.__file__, str(folder / "list")], timeout=WAIT_S, check=True)
        made.append((folder / "m.pyc").read_bytes())
    assert made[0] == made[1]


def test_what_is_no_python_is_told(tmp_path: Path) -> None:
    """Promise: a build stops at a module that cannot be imported."""
    (tmp_path / "m.py").write_text("def (:\n")
    with pytest.raises(py_compile.PyCompileError, match="/app/src/m"):
        bytecode.compile_all([f"{tmp_path}/m.py\tapp/src/m.py\t{tmp_path}/m.pyc"])
