"""The generator of BUILD files, on small repositories."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.bazel.graph import Extras, GraphError, Locks, Target, circles, file_targets, joined
from dev.bazel.render import HEADER, build_file, label, visibility
from dev.bazel.sources import Source, imports_of

RUNTIME = frozenset({"grpcio", "msgspec"})
LOCKS = Locks(RUNTIME, RUNTIME | {"pytest", "pytest_asyncio", "pytest_timeout", "hypothesis"})
NO_EXTRAS = Extras({}, {})
STDLIB = frozenset({"os", "json"})


def made(files: dict[str, str], extras: Extras = NO_EXTRAS) -> dict[str, Target]:
    """One target for each file."""
    paths = [PurePosixPath(name) for name in files]
    names = {Source(path, frozenset()).module for path in paths}
    sources = [Source(path, imports_of(path, files[str(path)], names)) for path in paths]
    return {f"{each.package}:{each.name}": each for each in file_targets(sources, extras, LOCKS, STDLIB)}


def folders(files: dict[str, str], split: tuple[str, ...] = ()) -> dict[str, Target]:
    """One target for each folder, where that is possible."""
    return {f"{each.package}:{each.name}": each for each in joined(list(made(files).values()), split)}


def test_imports_become_deps() -> None:
    """Promise: modules, wheels and every package on the way are there; the standard library is not."""
    found = made(
        {
            "pkg/__init__.py": "",
            "pkg/a/__init__.py": "",
            "pkg/a/one.py": "import os\nimport grpc.aio\nfrom pkg.b.two import Thing\n",
            "pkg/b/__init__.py": "",
            "pkg/b/two.py": "def f():\n    import msgspec\n",
        }
    )
    assert set(found["pkg/a:one"].deps) == {("pkg", "pkg"), ("pkg/a", "a"), ("pkg/b", "b"), ("pkg/b", "two")}
    assert found["pkg/a:one"].wheels == ("@pip//grpcio",)
    assert found["pkg/b:two"].wheels == ("@pip//msgspec",)


def test_relative_and_named_imports_count() -> None:
    """Promise: `from .` and modules that are loaded by a string are seen."""
    path = PurePosixPath("sealift/cli/main.py")
    text = 'from . import a\nfrom ..client import b\nX = "sealift.cli.c:run"\nY = "sealift.none"\n'
    assert imports_of(path, text, {"sealift.cli.c"}) == {
        "sealift.cli", "sealift.cli.a", "sealift.client", "sealift.client.b", "sealift.cli.c",
    }  # fmt: skip


SERVICE = {
    "svc/__init__.py": "",
    "svc/api/__init__.py": "",
    "svc/api/config.py": "import msgspec",
    "svc/api/run.py": "import svc.api.http.app",
    "svc/api/http/__init__.py": "",
    "svc/api/http/app.py": "import svc.api.http.pages",
    "svc/api/http/pages.py": "import svc.api.config",
    "svc/api/http/app_test.py": "import svc.api.http.app, svc.api.http.testing",
    "svc/api/http/pages_test.py": "import svc.api.http.pages",
    "svc/api/http/testing.py": "import pytest",
}


def test_a_folder_is_a_library_and_a_test() -> None:
    """Promise: what stands in a folder is one library, its helpers for tests apart, its tests one test."""
    found = folders(SERVICE)
    assert found["svc/api/http:http"].srcs == ("__init__.py", "app.py", "pages.py")
    assert found["svc/api/http:testing"].testonly
    assert found["svc/api/http:http_test"].srcs == ("app_test.py", "pages_test.py")
    assert ("svc/api/http", "testing") in found["svc/api/http:http_test"].deps


def test_a_folder_above_its_rooms_is_split() -> None:
    """Promise: no circle of targets is written; only the folder that would close one is split."""
    found = folders(SERVICE)
    assert {name for name in found if name.startswith("svc/api:")} == {"svc/api:api", "svc/api:config", "svc/api:run"}
    sides = {"pkg/__init__.py": "", "pkg/a/__init__.py": "", "pkg/b/__init__.py": ""}
    sides |= {"pkg/a/x.py": "import pkg.b.x", "pkg/a/y.py": "", "pkg/b/x.py": "", "pkg/b/y.py": "import pkg.a.y"}
    assert {"pkg/a:x", "pkg/a:y", "pkg/b:x", "pkg/b:y"} <= set(folders(sides))


def test_a_folder_may_be_kept_split() -> None:
    """Promise: a dependency on one file of such a folder is on this file alone."""
    found = folders(SERVICE, ("svc/api/http",))
    assert found["svc/api/http:app_test"].srcs == ("app_test.py",)
    assert set(found["svc/api:run"].deps) == {("svc", "svc"), ("svc/api", "api"), ("svc/api/http", "http"),
                                              ("svc/api/http", "app")}  # fmt: skip


def test_a_circle_is_one_target() -> None:
    """Promise: a package whose __init__ offers its modules is one target, also with a folder below it."""
    found = made(
        {
            "pkg/__init__.py": "",
            "pkg/db/__init__.py": "from pkg.db.open import x\n",
            "pkg/db/open.py": "import pkg.db.steps.first\n",
            "pkg/db/rows.py": "",
            "pkg/db/steps/__init__.py": "",
            "pkg/db/steps/first.py": "import pkg.db.open\n",
            "pkg/db/steps/second.py": "",
        }
    )
    assert found["pkg/db:db"].srcs == ("__init__.py", "open.py", "steps/__init__.py", "steps/first.py")
    assert found["pkg/db:rows"].srcs == ("rows.py",)
    # no BUILD file may stand between a target and its files
    assert found["pkg/db:steps/second"].srcs == ("steps/second.py",)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"pkg/a/x.py": "import pkg.b.y", "pkg/b/y.py": "import pkg.a.x"}, "circle across folders"),
        ({"pkg/a.py": "import numpy"}, "imports numpy"),
        ({"pkg/a.py": "import flask", "pkg/b.py": "import docker"}, "imports flask"),
        ({"pkg/a.py": "import docker"}, "wheel docker, which no lock has"),
        ({"pkg/a.py": "import pkg.none.there"}, "no such file"),
        ({"pkg/x/__init__.py": "", "pkg/x/x.py": ""}, "two targets //pkg/x:x"),
    ],
)
def test_what_does_not_fit_is_refused(files: dict[str, str], message: str) -> None:
    """Promise: no import is dropped silently."""
    with pytest.raises(GraphError, match=message):
        made(files)


def test_tests_get_their_fixtures_and_nothing_shipped_gets_theirs() -> None:
    """Promise: conftest files above a test are its deps; what is made for tests, and all that needs it, is testonly."""
    found = made(
        {
            "pkg/__init__.py": "",
            "pkg/conftest.py": "import pytest",
            "pkg/a/__init__.py": "",
            "pkg/a/code.py": "",
            "pkg/a/code_test.py": "import pkg.a.code",
            "pkg/a/fakes.py": "import pkg.conftest",
            "pkg/a/testing_server.py": "",
            "pkg/a/users.py": "import pkg.a.testing_server",
        }
    )
    test = found["pkg/a:code_test"]
    assert test.is_test
    assert ("pkg", "conftest") in test.deps
    assert "@pip_dev//pytest_asyncio" in test.wheels
    only = {name.partition(":")[2] for name, each in found.items() if each.testonly}
    assert only == {"conftest", "code_test", "fakes", "testing_server", "users"}


@given(st.dictionaries(st.sampled_from("abcdefg"), st.sets(st.sampled_from("abcdefg"))))
def test_circles_are_what_can_reach_itself(edges: dict[str, set[str]]) -> None:
    """Promise: two modules share a target exactly if each reaches the other."""
    graph = {node: set(edges.get(node, ())) for node in "abcdefg"}

    def reach(start: str) -> set[str]:
        seen, todo = {start}, [start]
        while todo:
            fresh = graph[todo.pop()] - seen
            seen |= fresh
            todo += fresh
        return seen

    groups = circles(graph)
    assert sorted(node for group in groups for node in group) == sorted(graph)
    for one in graph:
        together = next(set(group) for group in groups if one in group)
        assert together == {two for two in reach(one) if one in reach(two)}


def test_rules_written_by_hand_stay() -> None:
    """Promise: `make bazel` replaces its own rules only, with the loads that are needed."""
    before = (
        'load("//build/util:service_image.bzl", "service_image")\n\n'
        "# Why.\nservice_image(\n    libs = [\":main\"],\n)\n\npy_library(name = \"old\")\n"
    )  # fmt: skip
    main = Target("build/api", "main", ("main.py",), (("svc/api", "run"), ("build", "build")), (), False, False)
    text = build_file("build/api", [main], {}, before)
    assert text.startswith(HEADER)
    assert 'load("//build/util:service_image.bzl", "service_image")' in text
    assert "# Why.\nservice_image(" in text
    assert "old" not in text
    assert 'deps = [\n        "//build",\n        "//svc/api:run",\n    ],' in text
    assert build_file("build/api", [main], {}, text) == text


def test_visibility_is_the_import_rule() -> None:
    """Promise: Bazel itself refuses a service that uses another."""
    assert "//svc/krane:__subpackages__" not in visibility("svc/api/http")
    assert {"//build/api:__subpackages__", "//svc/api:__subpackages__"} <= set(visibility("svc/api/http"))
    assert visibility("tests/e2e") == ("//tests:__subpackages__",)
    assert label("pkg/a", ("pkg/a", "x")) == ":x"
    assert label("pkg/a", ("pkg/b", "b")) == "//pkg/b"
