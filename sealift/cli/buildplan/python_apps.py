"""Finds the object or the file that starts a Python app, by reading its source."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sealift.cli.buildplan.commands import start_of
from sealift.cli.buildplan.files import AppFiles
from sealift.cli.buildplan.model import Start

_PORT = "--host 0.0.0.0 --port ${PORT:-8080}"
_USUAL_FILES = (
    "app.py", "main.py", "wsgi.py", "asgi.py", "server.py", "application.py", "run.py", "api.py", "index.py",
    "app/main.py", "app/app.py", "app/__init__.py", "src/main.py", "src/app.py", "api/main.py", "api/index.py",
    "api/app.py", "src/app/main.py", "src/api/main.py", "backend/main.py", "server/main.py",
)  # fmt: skip
_SCRIPTS = (
    "main.py",
    "app.py",
    "server.py",
    "run.py",
    "application.py",
    "bot.py",
    "index.py",
    "src/main.py",
    "src/app.py",
)
MAX_SEARCHED_FILES = 200
_SETTINGS_MODULE = re.compile(r"DJANGO_SETTINGS_MODULE[\"']\s*,\s*[\"']([A-Za-z_][\w.]*)[\"']")
_NOT_APPS = frozenset({"tests", "test", "docs", "examples", "scripts", "migrations", "alembic", "venv", "env"})


@dataclass(frozen=True)
class _Framework:
    """A framework whose app is an object in a module.

    Attributes:
        made: the expression that makes the object.
        is_asgi: whether uvicorn serves it, else gunicorn.
        attribute: of the object, that is served in its place.
    """

    made: str
    is_asgi: bool = False
    attribute: str = ""


_FRAMEWORKS = (
    _Framework("FastAPI", is_asgi=True),
    _Framework("Starlette", is_asgi=True),
    _Framework("Litestar", is_asgi=True),
    _Framework("Quart", is_asgi=True),
    _Framework("Flask"),
    _Framework("APIFlask"),
    _Framework("Dash", attribute=".server"),
    _Framework("Bottle"),
)
_FACTORY = re.compile(r"^def (create_app|make_app|get_app|app_factory)\(([^)]*)\)", re.MULTILINE)


@dataclass(frozen=True)
class FoundApp:
    """A Python app and the server that it needs.

    Attributes:
        start: its command.
        server: the package of the server that the command starts; "" if it needs none.
        manage: the path of manage.py, "" without Django.
    """

    start: Start
    server: str = ""
    manage: str = ""


def find_app(files: AppFiles, dependencies: Collection[str]) -> FoundApp | None:
    """The app: Django's, an object of a known framework, or a script with a usual name. None if there is none."""
    return _django(files, dependencies) or _object(files, dependencies) or _script(files, dependencies)


def _django(files: AppFiles, dependencies: Collection[str]) -> FoundApp | None:
    """Django, by manage.py here or in one folder, and the wsgi.py beside its settings."""
    places = sorted((p for p in files.paths if p.rpartition("/")[2] == "manage.py" and p.count("/") < 2), key=_depth)
    for manage in places:
        folder = manage.rpartition("/")[0]
        inside = files.below(folder) if folder else files
        settings = _SETTINGS_MODULE.search(files.text(manage))
        package = settings[1].partition(".")[0] if settings else ""
        wanted = "asgi.py" if _ASGI_SERVERS & set(dependencies) else "wsgi.py"
        entry = inside.first(f"{package}/{wanted}", f"{package}/wsgi.py") or min(
            (p for p in inside.paths if p.rpartition("/")[2] == "wsgi.py"), key=_depth, default=""
        )
        if not entry:
            continue
        module = entry.removesuffix(".py").replace("/", ".")
        if entry.endswith("asgi.py"):
            server, line = _asgi_line(f"{module}:application", dependencies, folder)
        else:
            server, line = _wsgi_line(f"{module}:application", folder)
        return FoundApp(start_of(line, f"{folder}/{entry}" if folder else entry), server, manage)
    return None


_ASGI_SERVERS = frozenset({"daphne", "uvicorn", "channels"})


def _asgi_line(app: str, dependencies: Collection[str], folder: str = "") -> tuple[str, str]:
    """The package of the server, and its command."""
    if "daphne" in dependencies and "uvicorn" not in dependencies:
        return "daphne", f"{f'cd {folder} && exec ' if folder else ''}daphne -b 0.0.0.0 -p ${{PORT:-8080}} {app}"
    if "hypercorn" in dependencies and "uvicorn" not in dependencies:
        return "hypercorn", f"{f'cd {folder} && exec ' if folder else ''}hypercorn --bind 0.0.0.0:${{PORT:-8080}} {app}"
    return "uvicorn", f"uvicorn {f'--app-dir {folder} ' if folder else ''}{app} {_PORT}"


def _wsgi_line(app: str, folder: str = "") -> tuple[str, str]:
    """Gunicorn listens on $PORT by itself; threads, so that a slow request does not hold up the health check."""
    return "gunicorn", f"gunicorn --threads 8 {f'--chdir {folder} ' if folder else ''}{app}"


def _object(files: AppFiles, dependencies: Collection[str]) -> FoundApp | None:
    if found := _script_of_framework(files, dependencies):
        return found
    for path in _modules(files):
        text = files.text(path)
        for framework in _FRAMEWORKS:
            names = re.findall(rf"^(\w+)(?:\s*:\s*[\w.]+)?\s*=\s*(?:\w+\.)?{framework.made}\(", text, re.MULTILINE)
            if names:
                name = next((one for one in names if one in ("app", "application")), names[0])
                return _served(path, name + framework.attribute, dependencies, is_asgi=framework.is_asgi)
        factory = _FACTORY.search(text)
        if factory and all("=" in part or not part.strip() for part in factory[2].split(",")):
            called = re.search(rf"^(\w+)\s*=\s*{factory[1]}\(", text, re.MULTILINE)
            is_asgi = "FastAPI(" in text or "Quart(" in text
            if called:
                return _served(path, called[1], dependencies, is_asgi=is_asgi)
            if "Flask(" in text or is_asgi:
                return _served(path, f"{factory[1]}()", dependencies, is_asgi=is_asgi, is_factory=True)
        called = re.search(r"^(app|application)\s*=\s*(?:create_app|make_app)\(", text, re.MULTILINE)
        if called and {"flask", "fastapi", "quart"} & set(dependencies):
            return _served(path, called[1], dependencies, is_asgi="flask" not in dependencies)
    return None


def _script_of_framework(files: AppFiles, dependencies: Collection[str]) -> FoundApp | None:
    """Frameworks with a command of their own for a script."""
    streamlit = "streamlit" in dependencies and next((p for p in _modules(files) if "streamlit" in files.text(p)), "")
    if streamlit and "/" not in streamlit:
        line = (
            f"streamlit run {streamlit} --server.address 0.0.0.0 --server.port ${{PORT:-8080}} --server.headless true"
        )
        return FoundApp(start_of(line, streamlit))
    return None


def _served(
    path: str, name: str, dependencies: Collection[str], *, is_asgi: bool, is_factory: bool = False
) -> FoundApp:
    """The app in a module; below src/, which is no package, the module is named from there."""
    folder = "src" if path.startswith("src/") else ""
    module = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if not is_asgi:
        server, line = _wsgi_line(f"'{module}:{name}'" if is_factory else f"{module}:{name}", folder)
    elif is_factory:
        server, line = _asgi_line(f"{module}:{name.removesuffix('()')} --factory", (), folder)
    else:
        server, line = _asgi_line(f"{module}:{name}", dependencies, folder)
    return FoundApp(start_of(line, path), server)


def _modules(files: AppFiles) -> Iterator[str]:
    """Modules that may hold the app: the usual ones first, then those at the top and one folder below."""
    yield from (path for path in _USUAL_FILES if path in files)
    others = sorted(
        p for p in files.paths if p.endswith(".py") and p.count("/") < 3 and p not in _USUAL_FILES and _may(p)
    )
    yield from sorted(others, key=_depth)[:MAX_SEARCHED_FILES]


def _may(path: str) -> bool:
    parts = path.removesuffix(".py").split("/")
    return (
        all(part.isidentifier() for part in parts)
        and not _NOT_APPS & set(parts)
        and parts[-1] not in ("setup", "conftest", "manage", "settings")
        and not parts[-1].startswith("test_")
    )


def _depth(path: str) -> tuple[int, str]:
    return path.count("/"), path


def _script(files: AppFiles, dependencies: Collection[str]) -> FoundApp | None:
    """A script with a usual name, or the only package that can be run."""
    path = files.first(*_SCRIPTS)
    if path:
        return FoundApp(start_of(f"python {path}", path))
    packages = [p for p in files.paths if p.endswith("/__main__.py") and p.count("/") == 1 and _may(p)]
    if len(packages) == 1:
        return FoundApp(start_of(f"python -m {packages[0].partition('/')[0]}", packages[0]))
    return None
