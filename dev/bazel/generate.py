"""Writes the BUILD files: `python -m dev.bazel.generate [--check]`. With --check it only says what it would change."""

import sys
from pathlib import Path, PurePosixPath

from dev.bazel import settings, sources, third_party
from dev.bazel.graph import Extras, GraphError, Locks, Target, file_targets, joined
from dev.bazel.render import HEADER, build_file

ROOT = Path(__file__).resolve().parents[2]
NAME = "BUILD.bazel"


def graph(root: Path = ROOT) -> list[Target]:
    """The targets of the repository.

    Raises:
        GraphError: See `dev.bazel.graph.file_targets`.
    """
    return joined(file_graph(root), settings.SPLIT)


def file_graph(root: Path = ROOT) -> list[Target]:
    """One target for each file of the repository, as `dev.bazel.graph.file_targets` makes them."""
    locks = Locks(
        third_party.locked(root / "requirements_lock.txt"), third_party.locked(root / "requirements_dev_lock.txt")
    )
    extras = Extras(settings.EXTRA_IMPORTS, settings.EXTRA_WHEELS)
    found = sources.read(root, sources.listed(root))
    return file_targets(found, extras, locks, frozenset(sys.stdlib_module_names))


def files(root: Path = ROOT) -> dict[PurePosixPath, str | None]:
    """Every BUILD file that the imports ask for, by path, and None for one that should go."""
    by_package: dict[str, list[Target]] = {}
    for target in graph(root):
        by_package.setdefault(target.package, []).append(target)
    wanted: dict[PurePosixPath, str | None] = {}
    for package, made in by_package.items():
        path = PurePosixPath(package) / NAME
        before = (root / path).read_text(encoding="utf-8") if (root / path).exists() else ""
        wanted[path] = build_file(package, made, settings.DATA, before)
    for top in settings.TOP_FOLDERS:
        for found in (root / top).rglob(NAME):
            path = PurePosixPath(found.relative_to(root))
            if path not in wanted and found.read_text(encoding="utf-8").startswith(HEADER):
                wanted[path] = None
    return wanted


def changes(root: Path = ROOT) -> dict[PurePosixPath, str | None]:
    """Those of `files` that are not as they should be."""

    def now(path: PurePosixPath) -> str | None:
        return (root / path).read_text(encoding="utf-8") if (root / path).exists() else None

    return {path: text for path, text in files(root).items() if now(path) != text}


def main(arguments: list[str]) -> int:
    """0: nothing to do, or done. 1: --check found something. 2: the imports fit into no targets."""
    try:
        found = changes()
    except GraphError as error:
        print(f"make bazel: {error}", file=sys.stderr)
        return 2
    for path, text in sorted(found.items()):
        if arguments == ["--check"]:
            print(f"{path} is not what the imports say; run: make bazel", file=sys.stderr)
        elif text is None:
            (ROOT / path).unlink()
        else:
            (ROOT / path).write_text(text, encoding="utf-8")
    if not arguments:
        print(f"{len(found)} BUILD files changed")
    return int(bool(found) and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
