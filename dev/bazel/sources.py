"""The Python files of the repository and what each names in an import."""

import ast
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dev.bazel.settings import NOT_OURS, TOP_FOLDERS


@dataclass(frozen=True)
class Source:
    """One Python file.

    Attributes:
        path: from the root of the repository.
        imports: absolute dotted names; for `from a import b` both a and a.b. Lazy and typing imports included, and
            modules that are named in a string ("a.b" or "a.b:name"), which is how commands are loaded lazily.
    """

    path: PurePosixPath
    imports: frozenset[str]

    @property
    def module(self) -> str:
        """The name that an import of this file uses."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def is_test(self) -> bool:
        """Whether pytest collects it."""
        return self.path.name.endswith("_test.py")

    @property
    def is_conftest(self) -> bool:
        """Whether pytest loads it for every test below its folder."""
        return self.path.name == "conftest.py"


def listed(root: Path) -> list[PurePosixPath]:
    """Python files that are tracked or would be with `git add .`, without those of `NOT_OURS`."""
    command = ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run([*command, "*.py"], cwd=root, check=True, capture_output=True, text=True, timeout=60).stdout
    paths = [PurePosixPath(name) for name in sorted(set(names.split("\0"))) if name and (root / name).is_file()]
    return [path for path in paths if path.parts[0] not in NOT_OURS]


def read(root: Path, paths: Iterable[PurePosixPath]) -> list[Source]:
    """The sources at `paths`.

    Raises:
        SyntaxError: A file is not Python.
    """
    names = {Source(path, frozenset()).module for path in paths}
    return [Source(path, imports_of(path, (root / path).read_text(encoding="utf-8"), names)) for path in paths]


def imports_of(path: PurePosixPath, text: str, names: Iterable[str] = ()) -> frozenset[str]:
    """What `text`, standing at `path`, imports; a string counts if it names one of `names`."""
    package = list(path.parts[:-1])
    known = frozenset(names)
    found: set[str] = set()
    for node in ast.walk(ast.parse(text, filename=str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            name = node.value.partition(":")[0]
            if name in known and name.split(".")[0] in TOP_FOLDERS:
                found.add(name)
    return frozenset(found)


_DOTTED = re.compile(r"[a-z_]\w*(\.\w+)+(:\w+)?")
