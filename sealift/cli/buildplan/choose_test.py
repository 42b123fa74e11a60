"""What is found in the folders of small apps, and what is refused."""

import pytest

from sealift.cli.buildplan.choose import ambiguous, candidates
from sealift.cli.buildplan.files import AppFiles
from sealift.cli.buildplan.model import AppKind, BuildPlan, Settings
from sealift.cli.buildplan.testing import of
from sealift.cli.buildplan.testing_apps import FLASK, GO_MAIN, NODE, OTHERS, PYTHON, Files, package
from sealift.client.errors import InputError


def plan(files: Files, **settings: object) -> BuildPlan:
    [found] = candidates(AppFiles.of_texts(files), Settings(**settings))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(("files", "sentence"), [*PYTHON, *NODE, *OTHERS])
def test_what_is_found(files: Files, sentence: str) -> None:
    """Promise: language, version, start command and the files that say so are found by reading."""
    assert plan(files).sentence() == sentence


def refusal(files: Files, **settings: object) -> InputError:
    with pytest.raises(InputError) as caught:
        plan(files, **settings)
    return caught.value


def test_two_candidates() -> None:
    """Promise: with two candidates both are named, and the setting that decides; with the setting it is one."""
    files = {"requirements.txt": "flask", "app.py": FLASK, "package.json": package(scripts={"start": "node a.js"})}
    found = candidates(AppFiles.of_texts(files), Settings())
    assert [one.kind for one in found] == [AppKind.PYTHON, AppKind.NODE]
    error = ambiguous(found)
    assert error.code == "context.ambiguous"
    assert "Python 3.12 by requirements.txt" in error.message
    assert "Node 22 by package.json" in error.message
    assert 'kind = "python"' in error.message
    assert plan(files, kind=AppKind.NODE).kind is AppKind.NODE
    assert plan(files, command=("gunicorn", "app:app")).kind is AppKind.PYTHON


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({"README.md": ""}, "context.no_dockerfile", "none of requirements.txt"),
        ({"Gemfile": "", "public/index.html": "", "package.json": package(main="a.js"), "a.js": ""},
         "context.no_dockerfile", "looks like Ruby, which needs one"),
        ({"requirements.txt": "numpy", "lib/x.py": ""}, "context.no_start_command",
         "found requirements.txt, but not how the app starts"),
        ({"package.json": package(devDependencies={"jest": "1"})}, "context.no_start_command", "command = ["),
        ({"go.mod": "module x", "x.go": "package x"}, "context.no_start_command", "package main"),
        ({"go.mod": "module x", "cmd/a/a.go": GO_MAIN, "cmd/b/b.go": GO_MAIN}, "context.ambiguous", "./cmd/a, ./cmd/b"),
        ({"back/requirements.txt": "flask", "back/app.py": FLASK, "front/index.html": ""},
          "context.no_dockerfile",
         "found apps in back, front: `sealift deploy back`"),
    ],
)  # fmt: skip
def test_what_is_refused(files: Files, code: str, words: str) -> None:
    """Promise: what is missing is said, with the next step."""
    error = refusal(files)
    assert (error.code, words in error.message) == (code, True), error.message


def test_settings_that_do_not_fit() -> None:
    """Promise: a setting that names what is not there is refused with what there is."""
    assert "there is none of go.mod" in refusal({"index.html": ""}, kind=AppKind.GO).message
    files = {"go.mod": "module x", "cmd/a/a.go": GO_MAIN, "cmd/b/b.go": GO_MAIN}
    assert "these are: ./cmd/a, ./cmd/b" in refusal(files, go_package="./cmd/c").message
    assert plan(files, go_package="./cmd/b").sentence() == "Go 1.25 by go.mod, starts app (./cmd/b)"


def test_processes_that_are_not_started() -> None:
    """Promise: the other lines of a Procfile are named."""
    found = plan({"main.py": "", "Procfile": "web: python main.py\nrelease: ./migrate\nworker: python w.py\nclock: x"})
    assert found.notes == (
        "the release command of the Procfile is not run yet",
        "worker, clock of the Procfile are not started yet",
    )


def test_package_files_that_are_not_read() -> None:
    """Promise: with those of several package managers, the one that decides is named, and those that do not.

    https://github.com/heroku/heroku-buildpack-python/issues/1691
    """
    python = {"main.py": "", "pyproject.toml": '[project]\nname = "a"\ndependencies = []', "uv.lock": ""}
    assert plan(python).notes == ()
    found = plan({**python, "poetry.lock": "", "requirements.txt": "flask"})
    assert found.notes == ("packages are installed by uv.lock: poetry.lock and requirements.txt are not read",)
    node = {"package.json": '{"scripts": {"start": "node a.js"}}', "pnpm-lock.yaml": ""}
    assert plan(node).notes == ()
    assert plan({**node, "yarn.lock": ""}).notes == ("packages are installed by pnpm-lock.yaml: yarn.lock is not read",)
    npm = {"package.json": node["package.json"], "package-lock.json": "{}", "npm-shrinkwrap.json": "{}"}
    assert plan(npm).notes == ()  # of both, npm itself chooses


def test_a_static_site_with_a_build_script() -> None:
    """Promise: where files are served that a script may have to make first, that is said.

    https://github.com/coollabsio/coolify/issues/2083
    """
    files = {"public/index.html": "", "package.json": '{"scripts": {"build": "node build.js"}}', "build.js": ""}
    found = plan(files)
    assert found.kind is AppKind.STATIC
    assert found.notes == ("the build script of package.json is not run: the files are served as they are",)
    assert plan({"public/index.html": ""}).notes == ()


def test_a_given_command() -> None:
    """Promise: [run] command takes the place of a start command that is not found."""
    found = plan({"requirements.txt": "x", "lib/x.py": ""}, command=("python", "-m", "lib.x"))
    assert found.sentence() == "Python 3.12 by requirements.txt, starts python -m lib.x ([run] command)"
    [command] = of(found.dockerfile, "CMD")
    assert command.array == ["python", "-m", "lib.x"]
