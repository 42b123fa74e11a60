"""The plan of a Python app."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sealift.cli.buildplan import dockerfile, versions
from sealift.cli.buildplan.commands import given_start, kind_of, start_of
from sealift.cli.buildplan.files import AppFiles, table, text_at
from sealift.cli.buildplan.model import AppKind, BuildPlan, NoStart, Settings, Start
from sealift.cli.buildplan.python_apps import FoundApp, find_app

DEFAULT_VERSION = "3.12"
KNOWN_VERSIONS = ("3.13", "3.14", "3.11", "3.10", "3.9")
_REQUIREMENTS = (
    "requirements.txt", "requirements/production.txt", "requirements/prod.txt", "requirements/base.txt",
    "requirements/requirements.txt", "requirements/common.txt",
)  # fmt: skip
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_INCLUDE = re.compile(r"\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)")
_LOCAL = re.compile(r"\s*(?:-e\s|--editable|\.\.?/|\.\s*(?:\[|$)|file:|[\w.-]+\s*@\s*file:)")
_COMMAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
MAX_REQUIREMENT_FILES = 20
# Debian packages that packages without wheels are compiled with, or need at run time.
_SYSTEM_PACKAGES = {
    "psycopg2": ("gcc", "libc6-dev", "libpq-dev"),
    "psycopg": ("libpq5",),
    "mysqlclient": ("default-libmysqlclient-dev", "gcc", "libc6-dev", "pkg-config"),
    "uwsgi": ("gcc", "libc6-dev"),
    "python-ldap": ("gcc", "libc6-dev", "libldap2-dev", "libsasl2-dev"),
    "pycairo": ("gcc", "libc6-dev", "libcairo2-dev", "pkg-config"),
    "weasyprint": ("libpango-1.0-0", "libpangoft2-1.0-0"),
    "opencv-python": ("libgl1", "libglib2.0-0"),
}
_PIP_CACHE = "/root/.cache/pip"
_PIP = "pip install"
_OWN_DEPENDENCIES = (
    'python -c \'import sys; toml = __import__("tomllib" if sys.version_info >= (3, 11) else "pip._vendor.tomli", '
    'fromlist=["load"]); project = toml.load(open("pyproject.toml", "rb"))["project"]; '
    'print(*project.get("dependencies", []), sep="\\n")\''
)


@dataclass(frozen=True)
class _Requirements:
    """Where the dependencies are, and how they are installed.

    Attributes:
        source: the file; "" if there is none.
        names: of the direct dependencies, in lower case with hyphens.
        copied: the files that the installation needs.
        tool: "pip", "uv", "poetry" or "pipenv".
        needs_app: whether the installation needs all files of the app.
    """

    source: str
    names: frozenset[str]
    copied: tuple[str, ...] = ()
    tool: str = "pip"
    needs_app: bool = False


def find(files: AppFiles, settings: Settings) -> BuildPlan | NoStart | None:
    """The plan of the app; None if it is not a Python app."""
    requirements = _requirements(files)
    found = find_app(files if requirements.source else files.top(), requirements.names) or _entry_point(files)
    given = given_start(files, settings.command)
    if not requirements.source and not _is_python(files, found, given):
        return None
    start = given or (found.start if found else None)
    because = requirements.source or files.first("setup.py") or (start.source if start else "")
    if start is None:
        return NoStart(AppKind.PYTHON, because, "app object (Flask, FastAPI, ...), manage.py, main.py or app.py")
    return _plan(files, settings, requirements, replace(found, start=start) if found else FoundApp(start), because)


def _entry_point(files: AppFiles) -> FoundApp | None:
    """The only command of a package, which its installation makes."""
    project = files.toml("pyproject.toml")
    scripts = table(project, "project", "scripts")
    name = next(iter(scripts), "")
    if "build-system" not in project or len(scripts) != 1 or not _COMMAND.fullmatch(name):
        return None
    return FoundApp(start_of(name, "project.scripts of pyproject.toml"))


def _is_python(files: AppFiles, found: FoundApp | None, given: Start | None) -> bool:
    """Whether an app without requirements is one of Python: its start command says so, or nothing says otherwise."""
    is_started = given is not None and kind_of(given) is AppKind.PYTHON and any("/" not in p for p in _sources(files))
    return "setup.py" in files or is_started or (found is not None and not files.first("package.json", "go.mod"))


def _sources(files: AppFiles) -> Iterator[str]:
    return (path for path in files.paths if path.endswith(".py"))


def _plan(files: AppFiles, settings: Settings, requirements: _Requirements, app: FoundApp, because: str) -> BuildPlan:
    version = _version(files)
    server = _missing_server(requirements, app)
    has_version = "{version}" in settings.base(AppKind.PYTHON)
    lines = [
        dockerfile.base(settings.base(AppKind.PYTHON), version),
        'ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 FORWARDED_ALLOW_IPS="*"',
        "ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore",
        dockerfile.packages(_system_packages(files, requirements)),
        *dockerfile.user(),
        *dockerfile.arguments(settings),
        *_install(files, requirements, server),
        "" if requirements.needs_app else dockerfile.copy_all(),
        *_own_package(files, requirements),
        dockerfile.as_user(),
        *_static_files(files, app),
        "ENV PYTHONPATH=/app" + (":/app/src" if files.has_folder("src") else ""),
        dockerfile.command(app.start),
    ]
    added = f"; {server} is added" if server else ""
    return BuildPlan(
        AppKind.PYTHON,
        f"Python {version}" if has_version else f"Python of {settings.base(AppKind.PYTHON)}",
        because,
        f"starts {app.start.line} ({app.start.source}{added})",
        dockerfile.text_of(lines),
    )


def _missing_server(requirements: _Requirements, app: FoundApp) -> str:
    """The server that the start command needs and the dependencies lack."""
    is_started = app.server and f"{app.server} " in f"{app.start.line} "
    return app.server if is_started and app.server not in requirements.names else ""


def _version(files: AppFiles) -> str:
    """By .python-version, runtime.txt, .tool-versions, else the ranges of pyproject.toml and Pipfile."""
    for path, prefix in ((".python-version", ""), ("runtime.txt", "python-"), (".tool-versions", "python ")):
        for line in files.text(path).splitlines():
            text = line.strip().removeprefix(prefix)
            if (path != ".tool-versions" or line.startswith(prefix)) and (found := versions.exact(text, 2)):
                return found
    project = files.toml("pyproject.toml")
    pipfile = table(files.toml("Pipfile"), "requires")
    wanted = (
        text_at(project, "project", "requires-python")
        or text_at(project, "tool", "poetry", "dependencies", "python")
        or text_at(pipfile, "python_version")
    )
    return versions.chosen(wanted, DEFAULT_VERSION, KNOWN_VERSIONS)


def _requirements(files: AppFiles) -> _Requirements:
    """The first of: a lock file, requirements.txt, pyproject.toml, Pipfile."""
    project, pipfile = files.toml("pyproject.toml"), files.toml("Pipfile")
    declared = frozenset({*_names(table(project, "project").get("dependencies")),
                          *map(_normal, table(project, "tool", "poetry", "dependencies"))})  # fmt: skip
    readme = tuple(p for p in (text_at(project, "project", "readme"),) if p in files and dockerfile.is_plain(p))
    if "uv.lock" in files and "pyproject.toml" in files:
        return _Requirements("uv.lock", declared, ("pyproject.toml", "uv.lock", *readme), "uv", _has_members(project))
    if "poetry.lock" in files and "pyproject.toml" in files:
        return _Requirements("poetry.lock", declared, ("pyproject.toml", "poetry.lock"), "poetry")
    packages = frozenset(map(_normal, table(pipfile, "packages")))
    if "Pipfile.lock" in files and "Pipfile" in files:
        return _Requirements("Pipfile.lock", packages, ("Pipfile", "Pipfile.lock"), "pipenv")
    if path := files.first(*_REQUIREMENTS):
        return _of_requirements_file(files, path)
    if "dependencies" in table(project, "project"):
        return _Requirements("pyproject.toml", declared, ("pyproject.toml",))
    if "pyproject.toml" in files and table(project, "tool", "poetry", "dependencies"):
        return _Requirements("pyproject.toml", declared, ("pyproject.toml",), "poetry")
    if "Pipfile" in files:
        return _Requirements("Pipfile", packages, ("Pipfile",), "pipenv")
    return _Requirements("", frozenset())


def _has_members(project: dict[str, object]) -> bool:
    """Whether uv needs further packages of the same tree."""
    sources = table(project, "tool", "uv", "sources").values()
    return bool(table(project, "tool", "uv", "workspace")) or any(
        isinstance(source, dict) and ("path" in source or "workspace" in source) for source in sources
    )


def _of_requirements_file(files: AppFiles, path: str) -> _Requirements:
    """With the files that it includes; one that names a package of the app itself needs the whole app."""
    names: set[str] = set()
    needs_app, left, seen = False, [path], dict.fromkeys([path])
    while left:
        one = left.pop()
        for line in files.text(one).splitlines():
            if include := _INCLUDE.match(line):
                other = _joined(one, include[1])
                needs_app |= not (other in files and dockerfile.is_plain(other)) or len(seen) > MAX_REQUIREMENT_FILES
                if other in files and other not in seen and not needs_app:
                    seen[other] = None
                    left.append(other)
            elif _LOCAL.match(line):
                needs_app = True
            else:
                names.update(_named(line))
    return _Requirements(path, frozenset(names), tuple(seen), needs_app=needs_app)


def _joined(path: str, other: str) -> str:
    import posixpath

    return posixpath.normpath(posixpath.join(posixpath.dirname(path), other))


def _names(dependencies: object) -> Iterator[str]:
    for one in dependencies if isinstance(dependencies, list) else ():
        if isinstance(one, str):
            yield from _named(one)


def _named(requirement: str) -> Iterator[str]:
    """The package of a requirement, what its extras surely bring, and `git+` if git fetches it."""
    if found := _REQUIREMENT.match(requirement):
        name = _normal(found[1])
        yield name
        if name == "fastapi" and "[" in requirement:  # [standard] and [all]
            yield "uvicorn"
    if "git+" in requirement:
        yield "git+"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _system_packages(files: AppFiles, requirements: _Requirements) -> list[str]:
    found = [package for name in sorted(requirements.names) for package in _SYSTEM_PACKAGES.get(name, ())]
    text = files.text(requirements.source)
    if "psycopg-binary" in text or "psycopg[binary" in text:
        found = [package for package in found if package != "libpq5"]
    return [*found, "git"] if "git+" in requirements.names else found


def _install(files: AppFiles, requirements: _Requirements, server: str) -> Iterator[str]:
    """The steps that install the dependencies; they are repeated only if one of their files changes."""
    if requirements.needs_app:
        yield dockerfile.copy_all()
    else:
        folders = dict.fromkeys(path.rpartition("/")[0] for path in requirements.copied)
        for folder in folders:
            inside = [path for path in requirements.copied if path.rpartition("/")[0] == folder]
            yield dockerfile.copy(*inside, target=f"./{folder}/" if folder else "./")
    more = f" {server}" if server else ""
    if requirements.tool == "uv":
        yield "ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_CACHE_DIR=/root/.cache/uv"
        yield f"RUN {_PIP} --no-cache-dir uv"
        members = "" if requirements.needs_app else " --no-install-project"
        added = f" && uv pip install --python .venv{more}" if server else ""
        yield dockerfile.cached("/root/.cache/uv", f"uv sync --frozen --no-dev{members}{added}")
        yield "ENV PATH=/app/.venv/bin:$PATH"
    elif requirements.tool == "poetry":
        yield "ENV POETRY_VIRTUALENVS_IN_PROJECT=1 POETRY_NO_INTERACTION=1 POETRY_CACHE_DIR=/root/.cache/poetry"
        yield f"RUN {_PIP} --no-cache-dir poetry"
        added = f" && poetry run pip install{more}" if server else ""
        yield dockerfile.cached("/root/.cache/poetry", f"poetry install --only main --no-root{added}")
        yield "ENV PATH=/app/.venv/bin:$PATH"
    elif requirements.tool == "pipenv":
        yield "ENV PIPENV_VENV_IN_PROJECT=1 PIP_CACHE_DIR=/root/.cache/pip"
        yield f"RUN {_PIP} --no-cache-dir pipenv"
        added = f" && pipenv run pip install{more}" if server else ""
        do = "sync" if requirements.source == "Pipfile.lock" else "install"
        yield dockerfile.cached("/root/.cache/pip", f"pipenv {do}{added}")
        yield "ENV PATH=/app/.venv/bin:$PATH"
    elif requirements.source == "pyproject.toml":
        yield f"RUN {_OWN_DEPENDENCIES} > /tmp/requirements.txt"
        yield dockerfile.cached(_PIP_CACHE, f"{_PIP} --cache-dir {_PIP_CACHE} -r /tmp/requirements.txt{more}")
    elif requirements.source or server:
        listed = f" -r {requirements.source}" if requirements.source else ""
        yield dockerfile.cached(_PIP_CACHE, f"{_PIP} --cache-dir {_PIP_CACHE}{listed}{more}")


def _own_package(files: AppFiles, requirements: _Requirements) -> Iterator[str]:
    """The app itself, if it is a package: its entry points and data files."""
    if "build-system" not in files.toml("pyproject.toml"):
        return
    if requirements.tool == "uv" and not requirements.needs_app:
        yield dockerfile.cached("/root/.cache/uv", "uv sync --frozen --no-dev --inexact")
    elif requirements.source == "pyproject.toml" and requirements.tool == "pip":
        yield dockerfile.cached(_PIP_CACHE, f"{_PIP} --cache-dir {_PIP_CACHE} --no-deps .")


def _static_files(files: AppFiles, app: FoundApp) -> Iterator[str]:
    """Django's collectstatic, if a settings file says where to. Settings may need variables that a build has not."""
    if not app.manage:
        return
    settings = (path for path in _sources(files) if "settings" in path)
    if any(re.search(r"^STATIC_ROOT\s*=", files.text(path), re.MULTILINE) for path in sorted(settings)):
        yield (
            f"RUN python {app.manage} collectstatic --noinput"
            " || echo 'WARNING: collectstatic failed, see above: the static files of the app are missing'"
        )
