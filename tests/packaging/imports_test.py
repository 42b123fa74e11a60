"""The import rules of the architecture, read from the syntax tree of every module, lazy imports included."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.packaging.repository import ROOT, files

PACKAGES = ("sealift", "pkg", "svc", "build", "tests")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    found = files("*.py")
    return {name_of(path): path for path in found if path.relative_to(ROOT).parts[0] in PACKAGES}


@cache
def imports_of(module: str) -> frozenset[str]:
    """Everything the module names in an import; for `from a import b` both a and a.b."""
    path = modules()[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            found |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return frozenset(found)


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


@pytest.mark.parametrize("banned", ["sqlalchemy", "restate", "pkg.db", "pkg.storage", "pkg.restate", "pkg.secrets"])
def test_krane_sees_only_the_api(banned: str) -> None:
    """Promise: krane has no way to the database, the object store, the workflow engine or the master key."""
    found = [f"{module} imports {name}" for module, name in reached_from("svc.krane") if within(name, banned)]
    assert sorted(found) == []
