"""Files joined into targets: for each folder a library, one of its test helpers, and a test of its test files.

The library is split into one for each file where that of the whole folder would close a circle of folders (a `run.py`
that uses the folders below, which use the `config.py` next to it), or where `settings.SPLIT` asks for it. Files that
import each other in a circle share a target even then, such as a package whose `__init__` offers its modules.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dev.bazel.sources import Source
from dev.bazel.third_party import distribution_of, normalized

# Of a package's own name, not of a file that may exist: pytest is needed by every test.
TEST_WHEELS = ("pytest", "pytest-asyncio", "pytest-timeout")


class GraphError(ValueError):
    """The imports of the repository do not fit into targets; says which and why."""


@dataclass(frozen=True)
class Target:
    """One rule of a BUILD file; `deps` and `wheels` are those of its own imports only.

    Attributes:
        package: folder of the BUILD file.
        name: of the rule.
        srcs: file names in the folder.
        deps: (package, name) of other targets.
        wheels: labels of wheels.
        is_test: a pytest_test; else a py_library.
        testonly: is made for tests by its name or folder ("testing"), or reaches a wheel of the development lock; no
            image may hold it.
    """

    package: str
    name: str
    srcs: tuple[str, ...]
    deps: tuple[tuple[str, str], ...]
    wheels: tuple[str, ...]
    is_test: bool
    testonly: bool


@dataclass(frozen=True)
class Extras:
    """What imports do not show; keys are paths. See `dev.bazel.settings`."""

    imports: Mapping[str, Sequence[str]]
    wheels: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Locks:
    """Normalized names of what the two locks pin."""

    runtime: frozenset[str]
    development: frozenset[str]


def file_targets(sources: Iterable[Source], extras: Extras, locks: Locks, stdlib: frozenset[str]) -> list[Target]:
    """One target for each file, or for each circle of files, sorted: what an import needs and nothing else.

    Raises:
        GraphError: An import leads nowhere, to a wheel that no lock has, or a circle leaves its folder.
    """
    by_module = {source.module: source for source in sources}
    edges = {module: _first_party(source, by_module, extras) for module, source in by_module.items()}
    groups = [sorted(group) for group in circles(edges)]
    folders = _absorbed(groups, by_module)
    home = {module: _place(group, by_module, folders) for group in groups for module in group}
    wheels = {module: _wheels(source, by_module, extras, locks, stdlib) for module, source in by_module.items()}
    testonly = _testonly(edges, wheels, by_module)
    made = []
    for group in groups:
        package, name = home[group[0]]
        made.append(
            Target(
                package=package,
                name=name,
                srcs=tuple(sorted(str(by_module[module].path.relative_to(package)) for module in group)),
                deps=tuple(sorted({home[to] for module in group for to in edges[module]} - {(package, name)})),
                wheels=tuple(sorted(set().union(*(wheels[module] for module in group)))),
                is_test=any(by_module[module].is_test for module in group),
                testonly=any(module in testonly for module in group),
            )
        )
    _unique(made)
    return sorted(made, key=lambda target: (target.package, target.name))


def joined(files: Sequence[Target], split: Iterable[str]) -> list[Target]:
    """`files` with the targets of each folder joined, where that closes no circle.

    Args:
        files: from `file_targets`.
        split: first letters of the folders that stay as they are.
    """
    apart = tuple(split)
    libraries = {target.package for target in files if not target.package.startswith(apart)}
    while True:
        home = {_key(target): _joined_name(target, libraries, apart) for target in files}
        made = _join(files, home)
        edges = {_text(_key(target)): {_text(to) for to in target.deps} for target in made}
        rings = [group for group in circles(edges) if len(group) > 1]
        if not rings:
            _unique(made)
            return sorted(made, key=_key)
        for ring in rings:
            packages = {name.partition(":")[0] for name in ring} & libraries
            above = {one for one in packages if any(other.startswith(f"{one}/") for other in packages)}
            libraries -= above or packages


def _key(target: Target) -> tuple[str, str]:
    return target.package, target.name


def _text(key: tuple[str, str]) -> str:
    return ":".join(key)


def _joined_name(target: Target, libraries: Container[str], apart: tuple[str, ...]) -> tuple[str, str]:
    folder = target.package.rpartition("/")[2]
    if target.is_test:
        return target.package, target.name if target.package.startswith(apart) else f"{folder}_test"
    if target.package not in libraries:
        return _key(target)
    return target.package, "testing" if target.testonly else folder


def _join(files: Sequence[Target], home: Mapping[tuple[str, str], tuple[str, str]]) -> list[Target]:
    parts: dict[tuple[str, str], list[Target]] = {}
    for target in files:
        parts.setdefault(home[target.package, target.name], []).append(target)
    return [
        Target(
            package=package,
            name=name,
            srcs=tuple(sorted(src for part in group for src in part.srcs)),
            deps=tuple(sorted({home[dep] for part in group for dep in part.deps} - {(package, name)})),
            wheels=tuple(sorted({wheel for part in group for wheel in part.wheels})),
            is_test=group[0].is_test,
            testonly=group[0].testonly,
        )
        for (package, name), group in parts.items()
    ]


def _first_party(source: Source, by_module: Mapping[str, Source], extras: Extras) -> set[str]:
    found = {name for name in source.imports if name in by_module}
    for pattern in extras.imports.get(str(source.path), ()):
        prefix, star = pattern.removesuffix("*"), pattern.endswith("*")
        matches = {name for name in by_module if (name.startswith(prefix) if star else name == pattern)}
        if not matches:
            raise GraphError(
                f"{source.path}: {pattern} of EXTRA_IMPORTS names no module; correct dev/bazel/settings.py"
            )
        found |= matches
    if source.is_test or source.is_conftest:  # what pytest loads first
        folders = [source.path.parents[index] for index in range(len(source.path.parents) - 1)]
        conftests = {".".join([*folder.parts, "conftest"]) for folder in folders}
        found |= {name for name in conftests if name in by_module}
    # Importing a module runs the __init__ of every folder above it.
    for name in [*found, source.module]:
        parts = name.split(".")
        found |= {above for end in range(1, len(parts)) if (above := ".".join(parts[:end])) in by_module}
    return found - {source.module}


def _wheels(
    source: Source, by_module: Mapping[str, Source], extras: Extras, locks: Locks, stdlib: frozenset[str]
) -> set[str]:
    tops = {name.split(".")[0] for name in by_module}
    needed = set(extras.wheels.get(str(source.path), ()))
    for name in source.imports:
        top = name.split(".")[0]
        if top in stdlib or top == "__future__":
            continue
        if top in tops:
            _check_exists(source, name, by_module)
            continue
        if (distribution := distribution_of(name)) is not None:
            needed.add(distribution)
        elif not any(name.startswith(f"{known}.") or known.startswith(f"{name}.") for known in source.imports - {name}):
            raise GraphError(f"{source.path} imports {name}: name its distribution in dev/bazel/third_party.py")
    if source.is_test:
        needed |= set(TEST_WHEELS)
    return {_label(source, normalized(name), locks) for name in needed}


def _check_exists(source: Source, name: str, by_module: Mapping[str, Source]) -> None:
    """`a.b.C` is fine if a.b is a module: the name may be something that the module defines."""
    if name not in by_module and name.rpartition(".")[0] not in by_module:
        raise GraphError(f"{source.path} imports {name}, and there is no such file")


def _label(source: Source, wheel: str, locks: Locks) -> str:
    if wheel in locks.runtime:
        return f"@pip//{wheel}"
    if wheel in locks.development:
        return f"@pip_dev//{wheel}"
    raise GraphError(f"{source.path} needs the wheel {wheel}, which no lock has; add it to pyproject.toml and lock it")


def _absorbed(groups: Iterable[Sequence[str]], by_module: Mapping[str, Source]) -> dict[PurePosixPath, PurePosixPath]:
    """Folders that get no BUILD file, because a circle joins their files with those of a folder above."""
    above: dict[PurePosixPath, PurePosixPath] = {}
    for group in groups:
        folders = sorted({by_module[module].path.parent for module in group})
        top = folders[0]
        if any(not folder.is_relative_to(top) for folder in folders) or (len(folders) > 1 and len(top.parts) == 1):
            paths = ", ".join(str(by_module[module].path) for module in group)
            raise GraphError(f"these files import each other in a circle across folders: {paths}")
        above |= dict.fromkeys(folders[1:], top)
    return above


def _place(
    group: Sequence[str], by_module: Mapping[str, Source], folders: Mapping[PurePosixPath, PurePosixPath]
) -> tuple[str, str]:
    """(package, name) of a group: named after its uppermost `__init__`, else after its first file."""
    paths = sorted((by_module[module].path for module in group), key=lambda path: (len(path.parts), path))
    package = paths[0].parent
    while package in folders:
        package = folders[package]
    inits = [path.parent for path in paths if path.name == "__init__.py"]
    if inits:
        return str(package), str(inits[0].relative_to(package)) if inits[0] != package else package.name
    return str(package), str(paths[0].relative_to(package).with_suffix(""))


def _testonly(
    edges: Mapping[str, set[str]], wheels: Mapping[str, set[str]], by_module: Mapping[str, Source]
) -> set[str]:
    found = {
        module
        for module, labels in wheels.items()
        if by_module[module].is_test
        or by_module[module].path.parts[0] == "tests"
        or any(part.startswith("testing") for part in by_module[module].path.parts)
        or any(label.startswith("@pip_dev//") for label in labels)
    }
    while more := {module for module, to in edges.items() if to & found} - found:
        found |= more
    return found


def _unique(made: Sequence[Target]) -> None:
    seen: dict[tuple[str, str], Target] = {}
    for target in made:
        if other := seen.get((target.package, target.name)):
            raise GraphError(
                f"two targets //{target.package}:{target.name}: {', '.join(other.srcs)} and {', '.join(target.srcs)}; "
                "a module must not be named like its folder"
            )
        seen[(target.package, target.name)] = target


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components (Tarjan 1972), without recursion; each module is in exactly one."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[list[str]] = []
    for start in sorted(edges):
        if start in index:
            continue
        work = [(start, iter(sorted(edges[start])))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            module, following = work[-1]
            for to in following:
                if to not in index:
                    index[to] = low[to] = len(index)
                    stack.append(to)
                    on_stack.add(to)
                    work.append((to, iter(sorted(edges[to]))))
                    break
                if to in on_stack:
                    low[module] = min(low[module], index[to])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[module])
                if low[module] == index[module]:
                    cut = stack.index(module)
                    found.append(stack[cut:])
                    on_stack -= set(stack[cut:])
                    del stack[cut:]
    return found
