"""The import rules of the architecture, read from the syntax tree of every module, lazy imports included."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.packaging.repository import ROOT, files

PACKAGES = ("sealift", "pkg", "svc", "build", "tests", "dev")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    found = files("*.py")
    return {name_of(path): path for path in found if path.relative_to(ROOT).parts[0] in PACKAGES}


def imported_names(module: str) -> Iterator[tuple[str, str]]:
    """Every import as (module, name): `import a.b` as ("a.b", ""), `from a import b` as ("a", "b")."""
    path = modules()[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            yield from ((origin, alias.name) for alias in node.names)


@cache
def imports_of(module: str) -> frozenset[str]:
    """Everything the module names in an import; for `from a import b` both a and a.b."""
    found = imported_names(module)
    return frozenset(each for origin, name in found for each in ({origin, f"{origin}.{name}"} if name else {origin}))


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def wrong(importers: str, *banned: str, but: str | None = None) -> list[str]:
    """Imports of `banned` by modules of `importers`; `but` is allowed within it."""
    return [
        f"{module} imports {name}"
        for module in sorted(modules())
        if within(module, importers)
        for name in sorted(imports_of(module))
        if any(within(name, each) for each in banned) and not (but and (within(name, but) or within(but, name)))
    ]


def reached_from(package: str) -> Iterator[tuple[str, str]]:
    """Each (module, import) that running `package` may execute: of its own modules and of ours that they import."""
    todo = [name for name in modules() if within(name, package) and not name.endswith("_test")]
    seen = set(todo)
    while todo:
        module = todo.pop()
        for name in imports_of(module):
            yield module, name
            parents = [name.rsplit(".", cut)[0] for cut in range(name.count(".") + 1)]
            for each in parents:
                if each in modules() and each not in seen:
                    seen.add(each)
                    todo.append(each)


def test_there_is_something_to_check() -> None:
    """Promise: an empty list of modules does not pass for an orderly one."""
    assert {"pkg.errors", "build.util.run", "tests.packaging.imports_test", "sealift"} <= set(modules())
    assert "pkg.ids" in imports_of("build.util.run")


def test_the_distribution_stands_alone() -> None:
    """Promise: what a user installs needs nothing of the services."""
    assert wrong("sealift", "pkg", "svc", "build", "tests") == []


def test_libraries_know_no_service() -> None:
    """Promise: pkg never imports svc, nor the entry points."""
    assert wrong("pkg", "svc", "build") == []


def services() -> list[str]:
    return sorted({".".join(name.split(".")[:2]) for name in modules() if name.startswith("svc.")})


def test_services_never_import_each_other() -> None:
    """Promise: services meet in protos, database, store and workflow engine only."""
    for service in services():
        others = [other for other in services() if other != service]
        assert wrong(service, *others, "build") == []


def test_entry_points_start_their_own_service() -> None:
    """Promise: a service is started with its own code and what is shared."""
    for service in services():
        name = service.removeprefix("svc.")
        assert wrong(f"build.{name}", "svc", but=service) == []
    assert wrong("build.util", "svc") == []


@pytest.mark.parametrize("banned", ["grpc", "docker"])
def test_the_supervisor_forks_safely(banned: str) -> None:
    """Promise: the only process that forks never loads grpc (threads) or docker, not even through a library."""
    found = [f"{module} imports {name}" for module, name in reached_from("svc.standalone") if within(name, banned)]
    assert sorted(found) == []


@pytest.mark.parametrize("banned", ["sqlalchemy", "sqlite3", "pkg.db"])
def test_the_supervisor_opens_no_database(banned: str) -> None:
    """Promise: what is done to the database is done by the api, or while no service runs by sealift-admin."""
    found = [f"{module} imports {name}" for module, name in reached_from("svc.standalone") if within(name, banned)]
    assert sorted(found) == []


@pytest.mark.parametrize("banned", ["sqlalchemy", "restate", "pkg.db", "pkg.storage", "pkg.restate", "pkg.secrets"])
def test_krane_sees_only_the_api(banned: str) -> None:
    """Promise: krane has no way to the database, the object store, the workflow engine or the master key."""
    found = [f"{module} imports {name}" for module, name in reached_from("svc.krane") if within(name, banned)]
    assert sorted(found) == []


def test_the_schema_holds_the_tables_of_every_domain() -> None:
    """Promise: no domain's tables are missing from the comparison with the migrations."""
    domains = {name for name in modules() if name.startswith("pkg.") and name.endswith(".tables")}
    assert {name for name in imports_of("pkg.schema") if name.endswith(".tables")} == domains


def is_test(path: Path) -> bool:
    return path.name.endswith("_test.py") or path.name == "conftest.py"


@cache
def import_graph() -> dict[Path, set[Path]]:
    """Which file imports which others: the module behind each name, else the one that the name is taken from."""
    graph = {}
    for module, path in modules().items():
        named = {
            full if (full := f"{origin}.{name}") in modules() else origin for origin, name in imported_names(module)
        }
        imported = {modules()[each].relative_to(ROOT) for each in named if each in modules()}
        graph[path.relative_to(ROOT)] = imported - {path.relative_to(ROOT)}
    return graph


def graphs_of_folders() -> dict[Path, dict[Path, set[Path]]]:
    """The imports within each folder: its files and subfolders, each of these as one node. Test files are left out."""
    folders: dict[Path, dict[Path, set[Path]]] = defaultdict(lambda: defaultdict(set))
    for importer, imported in import_graph().items():
        if is_test(importer):
            continue
        for path in imported:
            depth = next(i for i, (a, b) in enumerate(zip(importer.parts, path.parts, strict=False)) if a != b)
            folders[Path(*path.parts[:depth])][Path(*importer.parts[: depth + 1])].add(Path(*path.parts[: depth + 1]))
    return folders


def reachable(graph: dict[Path, set[Path]], start: Path) -> set[Path]:
    """What `start` imports, directly or through others."""
    found: set[Path] = set()
    todo = [start]
    while todo:
        new = graph.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found


def test_folders_have_no_import_circles() -> None:
    """Promise: in every folder, files and subfolders can be put in an order in which each imports earlier ones only."""
    found = set()
    for graph in graphs_of_folders().values():
        reach = {node: reachable(graph, node) for node in list(graph)}
        for node, others in reach.items():
            circle = {other for other in others if node in reach.get(other, set())}
            if circle:
                found.add(tuple(sorted(map(str, circle))))
    assert sorted(found) == []


def test_nobody_imports_a_test() -> None:
    """Promise: what tests share stands in a module of its own, so that a test file can be moved or removed freely."""
    found = [
        f"{importer} imports {path}"
        for importer, imported in import_graph().items()
        for path in imported
        if path.name.endswith("_test.py")
    ]
    assert sorted(found) == []
