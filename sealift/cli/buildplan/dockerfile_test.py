"""The generated Dockerfiles: order of layers, user, caches, files that an installation needs; hostile files."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.cli.buildplan.choose import candidates
from sealift.cli.buildplan.files import AppFiles
from sealift.cli.buildplan.model import AppKind, BaseImages, Settings
from sealift.cli.buildplan.testing import Instruction, instructions, of
from sealift.cli.buildplan.testing_apps import FLASK, MANAGE, NODE, OTHERS, PYTHON, Files, package
from sealift.client.errors import InputError


def written(files: Files, settings: Settings | None = None) -> str:
    [found] = candidates(AppFiles.of_texts(files), settings or Settings())
    return found.dockerfile


def runs(files: Files) -> list[str]:
    return [one.text for one in of(written(files), "RUN")]


def check(dockerfile: str, files: Files) -> None:
    """What holds for every generated Dockerfile."""
    found = instructions(dockerfile)
    assert found[0].name == "FROM"
    last_stage = found[max(at for at, one in enumerate(found) if one.name == "FROM") :]
    users = [one.text for one in last_stage if one.name == "USER"]
    assert users == ["10001:10001"]
    assert last_stage[-1].name == "CMD"
    assert all(isinstance(word, str) for word in last_stage[-1].array)
    stages = {one.words[-1] for one in found if one.name == "FROM" and " AS " in one.text}
    for one in found:
        if one.name == "COPY" and "--from=" in one.text:
            assert one.text.split("--from=")[1].split()[0] in stages
        elif one.name == "COPY":
            for source in one.words[:-1]:
                assert source == "." or source in files or any(path.startswith(f"{source}/") for path in files), source


@pytest.mark.parametrize("files", [files for files, _ in (*PYTHON, *NODE, *OTHERS)])
def test_every_dockerfile(files: Files) -> None:
    """Promise: it is read by the oldest BuildKit, copies only what exists, and its app is not root."""
    check(written(files), files)


def position(found: list[Instruction], text: str) -> int:
    return next(at for at, one in enumerate(found) if text in one.text)


@pytest.mark.parametrize(
    ("files", "manifest", "install"),
    [
        ({"requirements.txt": "flask", "app.py": FLASK}, "requirements.txt", "pip install --cache-dir"),
        (
            {"uv.lock": "", "pyproject.toml": "[project]\ndependencies = []", "main.py": ""},
            "uv.lock",
            "uv sync --frozen",
        ),
        ({"poetry.lock": "", "pyproject.toml": "", "main.py": ""}, "poetry.lock", "poetry install --only main"),
        ({"Pipfile": "", "Pipfile.lock": "{}", "main.py": ""}, "Pipfile.lock", "pipenv sync"),
        ({"package.json": package(main="a.js"), "package-lock.json": "", "a.js": ""}, "package-lock.json", "npm ci"),
        (
            {"package.json": package(main="a.js"), "pnpm-lock.yaml": "", "a.js": ""},
            "pnpm-lock.yaml",
            "--frozen-lockfile",
        ),
        ({"package.json": package(main="a.js"), "yarn.lock": "", "a.js": ""}, "yarn.lock", "--frozen-lockfile"),
        ({"go.mod": "module x", "go.sum": "", "main.go": "package main"}, "go.sum", "go mod download"),
    ],
)
def test_dependencies_are_a_layer_of_their_own(files: Files, manifest: str, install: str) -> None:
    """Promise: a change of the code does not install again, and what was downloaded is kept between builds."""
    found = instructions(written(files))
    code = next(at for at, one in enumerate(found) if one.name == "COPY" and one.words == [".", "."])
    assert position(found, f"{manifest} ./") < position(found, install) < code
    assert "--mount=type=cache" in found[position(found, install)].text


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": package(main="a.js", scripts={"postinstall": "node make.js"}), "a.js": ""},
        {"package.json": package(main="a.js", workspaces=["packages/*"]), "a.js": ""},
        {"package.json": package(main="a.js", dependencies={"b": "file:./b"}), "a.js": "", "b/package.json": "{}"},
        {"requirements.txt": "-e .\nflask", "setup.py": "", "main.py": ""},
        {"requirements.txt": "./lib\nflask", "lib/setup.py": "", "main.py": ""},
        {"requirements.txt": "-r ../other.txt", "main.py": ""},
        {
            "uv.lock": "",
            "pyproject.toml": "[project]\ndependencies = []\n[tool.uv.sources]\nb = {path = 'b'}",
            "main.py": "",
        },
    ],
)
def test_an_installation_that_needs_the_app(files: Files) -> None:
    """Promise: where an installation may read any file, all files are there before it."""
    found = instructions(written(files))
    assert [one.words for one in found if one.name == "COPY"] == [[".", "."]]
    install = next(at for at, one in enumerate(found) if one.name == "RUN" and "cache" in one.text)
    assert install > position(found, ". .")


def test_files_that_an_installation_reads() -> None:
    """Promise: included requirements, configuration, patches and the Prisma schema are copied before it."""
    python = {"requirements.txt": "-r requirements/base.txt\n-c pins.txt", "requirements/base.txt": "flask",
    "pins.txt": "",
              "app.py": FLASK}  # fmt: skip
    copies = [one.words for one in of(written(python), "COPY")]
    assert copies == [["requirements.txt", "pins.txt", "./"], ["requirements/base.txt", "./requirements/"], [".", "."]]
    node = {"package.json": package(main="a.js", scripts={"postinstall": "prisma generate"}), ".npmrc": "", "a.js": "",
            "prisma/schema.prisma": "", "patches/b.patch": ""}  # fmt: skip
    copies = [one.words for one in of(written(node), "COPY")]
    assert copies == [["package.json", ".npmrc", "./"], ["patches", "./patches"], ["prisma", "./prisma"], [".", "."]]


def test_system_packages() -> None:
    """Promise: what well-known packages are compiled with is installed, and nothing else is."""
    assert "libpq-dev" in runs({"requirements.txt": "psycopg2==2.9", "main.py": ""})[0]
    assert not [
        one for one in runs({"requirements.txt": "psycopg2-binary\npsycopg[binary]", "main.py": ""}) if "apt" in one
    ]
    assert (
        "openssl" in runs({"package.json": package(main="a.js", dependencies={"@prisma/client": "6"}), "a.js": ""})[0]
    )
    assert " git " in runs({"requirements.txt": "x @ git+https://example.com/x", "main.py": ""})[0]


def test_package_managers() -> None:
    """Promise: the manager is of the version that packageManager or the lock file asks for."""
    for files, setup in (
        ({"pnpm-lock.yaml": "lockfileVersion: 5.4"}, "pnpm@7"),
        ({"pnpm-lock.yaml": "lockfileVersion: '6.0'"}, "pnpm@8"),
        ({"pnpm-lock.yaml": "lockfileVersion: '9.0'"}, "pnpm@10"),
        ({"yarn.lock": ""}, "yarn@1.22.22"),
        ({"yarn.lock": "", ".yarnrc.yml": ""}, "@yarnpkg/cli-dist@4"),
        ({"bun.lock": ""}, "bun@latest"),
    ):
        all_files = {"package.json": package(main="a.js"), "a.js": "", **files}
        assert f"npm install -g --force {setup}" in runs(all_files)
    named = {"package.json": package(main="a.js", packageManager="pnpm@9.1.2+sha512.ab"), "a.js": "", "yarn.lock": ""}
    assert "npm install -g --force pnpm@9.1.2" in runs(named)


def test_static_files_of_django() -> None:
    """Promise: collectstatic runs if the settings say where to; that it failed is said in the build's output."""
    files = {
        "requirements.txt": "django",
        "manage.py": MANAGE,
        "shop/wsgi.py": "",
        "shop/settings.py": "STATIC_ROOT = 1",
    }
    [line] = [one for one in runs(files) if "collectstatic" in one]
    assert "WARNING: collectstatic failed" in line
    assert not [one for one in runs({**files, "shop/settings.py": ""}) if "collectstatic" in one]


def test_single_pages() -> None:
    """Promise: pages that route in the browser get index.html for every path, others their 404 page."""
    vite = {"package.json": package(scripts={"build": "vite build"}, devDependencies={"vite": "7"})}
    assert "try_files $uri $uri.html $uri/ /index.html;" in written(vite)
    site = {"public/index.html": "", "public/404.html": ""}
    assert "try_files $uri $uri.html $uri/ =404;" in written(site)
    assert "error_page 404 /404.html;" in written(site)


def test_settings() -> None:
    """Promise: base images are settings, with or without the version; build arguments are variables of the build."""
    files = {"requirements.txt": "flask", "app.py": FLASK, ".python-version": "3.11"}
    own = Settings(bases=BaseImages(python="mirror.example/py:{version}"), build_args=("API_URL", "bad name"))
    found = of(written(files, own), "FROM")
    assert [one.text for one in found] == ["mirror.example/py:3.11"]
    assert [one.text for one in of(written(files, own), "ARG")] == ["API_URL"]
    [plan] = candidates(AppFiles.of_texts(files), Settings(bases=BaseImages(python="own:1")))
    assert plan.title == "Python of own:1"


names = st.sampled_from(
    [
        "requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "Pipfile", "Pipfile.lock", "manage.py",
        "app.py",
        "main.py", "shop/wsgi.py", "shop/__init__.py", "src/main.py", "package.json", "package-lock.json", "yarn.lock",
        "pnpm-lock.yaml", ".yarnrc.yml", "server.js", "index.html", "public/index.html", "go.mod", "main.go",
        "cmd/a/a.go",
        "Procfile", ".python-version", "runtime.txt", ".nvmrc", "angular.json", "vite.config.ts", "next.config.js",
        "requirements/base.txt", ".tool-versions", "pnpm-workspace.yaml", "a b.txt", "$(x).py", "Gemfile",
    ]
)  # fmt: skip
fragments = st.sampled_from(
    [
        "flask", "django", FLASK, MANAGE, "package main\n", "go 1.22\n", "module x\n", "web: gunicorn a:b\n",
        "web: $(x)\n",
        "-r a b.txt\n", "-r $(rm).txt\n", "-e .\n", "[project]\n", 'requires-python = ">=3.9"\n',
        'dependencies = ["a"]\n',
        "3.11\n", "v20\n", "lts/iron", "def create_app(", "FROM evil\n", '"; rm -rf /', "`x`", "\\\n", "\n", "\x00",
        "\u2028",
        '{"scripts": {"start": "node a.js\\nRUN evil"}, "main": "a.js"}', '{"packageManager": "pnpm@9.0.0\\nRUN x"}',
        '{"dependencies": {"vite": 1, "next": []}, "scripts": {"build": "vite build"}}', "outDir: 'a b\\nRUN x'",
        '{"projects": {"x\\nRUN y": {"architect": {"build": {"options": {"outputPath": "../../etc"}}}}}}', "{", "[",
    ]
)  # fmt: skip
texts = st.one_of(st.lists(fragments, max_size=5).map("".join), st.text(max_size=60))


@given(st.dictionaries(names, texts, max_size=8), st.sampled_from([None, *AppKind]))
def test_any_files(files: Files, kind: AppKind | None) -> None:
    """Promise: whatever the files hold, there is a refusal in words or a Dockerfile of known instructions only."""
    settings = Settings(kind=kind)
    try:
        found = candidates(AppFiles.of_texts(files), settings)
    except InputError:
        return
    assert found == candidates(AppFiles.of_texts(dict(reversed(list(files.items())))), settings)
    for plan in found:
        check(plan.dockerfile, files)
        assert "evil" not in "".join(one.text for one in instructions(plan.dockerfile) if one.name != "CMD")
        assert plan.sentence().isprintable()


@given(st.lists(st.text(alphabet=string.printable, min_size=1, max_size=20), min_size=1, max_size=5))
def test_any_command(command: list[str]) -> None:
    """Promise: a command gets into CMD as it is, whatever its characters."""
    files = AppFiles.of_texts({"requirements.txt": ""})
    [plan] = candidates(files, Settings(kind=AppKind.PYTHON, command=tuple(command)))
    [found] = of(plan.dockerfile, "CMD")
    assert found.array == command == json.loads(found.text)
