"""The plan of a Node app."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sealift.cli.buildplan import dockerfile, static
from sealift.cli.buildplan.commands import given_start, start_of
from sealift.cli.buildplan.files import AppFiles, table
from sealift.cli.buildplan.model import AppKind, BuildPlan, NoStart, Settings, Start
from sealift.cli.buildplan.node_frameworks import StaticOutput, is_for_development, server_command, static_output
from sealift.cli.buildplan.node_packages import (
    PackageManager,
    files_to_install,
    folders_to_install,
    has_build,
    manager_of,
    uses_bun,
    version_of,
)

_SERVERS = (
    "server.js", "index.js", "app.js", "main.js", "server.mjs", "index.mjs", "app.mjs", "server.cjs", "index.cjs",
    "src/server.js", "src/index.js", "src/app.js", "src/main.js",
)  # fmt: skip
_START_SCRIPTS = ("start:prod", "start:production", "start")
_LISTENS = re.compile(r"\.listen\(|createServer|serve\(|http|express|fastify|koa|hono")
_PLAIN_SCRIPT = re.compile(r"node(?: --[a-z-]+(?:=[\w./-]+)?)* [\w./-]+")
_SYSTEM_PACKAGES = {
    "prisma": ("ca-certificates", "openssl"),
    "@prisma/client": ("ca-certificates", "openssl"),
    "node-gyp": ("g++", "make", "python3"),
}


def find(files: AppFiles, settings: Settings) -> BuildPlan | NoStart | None:
    """The plan of the app; None if it is not a Node app."""
    package = files.json("package.json")
    given = given_start(files, settings.command)
    if not package:
        only = files.first(*_SERVERS)
        if not only or "index.html" in files or not _LISTENS.search(files.text(only)):
            return None
        return _program(files, settings, package, given or start_of(f"node {only}", only))
    dependencies = frozenset({**table(package, "dependencies"), **table(package, "devDependencies")})
    if given is None and (output := static_output(files, package, dependencies)):
        return _site(files, settings, package, output)
    start = given or _start(files, package, dependencies)
    if start is None:
        return NoStart(AppKind.NODE, "package.json", "start script or main in package.json, or server.js")
    return _program(files, settings, package, start)


def _start(files: AppFiles, package: Mapping[str, Any], dependencies: frozenset[str]) -> Start | None:
    """The start script, else the framework's server, else the main file."""
    scripts = table(package, "scripts")
    manager = manager_of(files, package)
    for name in _START_SCRIPTS:
        script = scripts.get(name)
        if not isinstance(script, str) or not script.strip() or is_for_development(script):
            continue
        if _PLAIN_SCRIPT.fullmatch(script.strip()) and f"pre{name}" not in scripts and not manager.is_pnp:
            return start_of(script, f"{name} script")
        command = manager.start() if name == "start" else manager.run(name)
        return Start(f"{command}: {script}", tuple(command.split()), f"{name} script")
    if found := server_command(files, package, dependencies):
        return start_of(found[0], found[1])
    main = package.get("main")
    path = main.removeprefix("./") if isinstance(main, str) else ""
    if path in files and path.endswith((".js", ".mjs", ".cjs")) and re.fullmatch(r"[\w./-]+", path):
        return start_of(f"node {path}", "main of package.json")
    if path := files.first(*_SERVERS):
        return start_of(f"node {path}", path)
    if manager.name == "bun" and (path := files.first("index.ts", "server.ts", "src/index.ts", "src/server.ts")):
        return start_of(f"bun {path}", path)
    return None


def _program(files: AppFiles, settings: Settings, package: Mapping[str, Any], start: Start) -> BuildPlan:
    lines = [
        *_built(files, settings, package, ""),
        'ENV NODE_ENV=production HOST=0.0.0.0',
        dockerfile.command(start),
    ]  # fmt: skip
    does = f"starts {start.line} ({start.source})"
    return _plan(files, settings, package, f"{_build_text(package)}{does}", lines)


def _site(files: AppFiles, settings: Settings, package: Mapping[str, Any], output: StaticOutput) -> BuildPlan:
    lines = [
        *_built(files, settings, package, "build"),
        dockerfile.BREAK,
        dockerfile.base(settings.bases.static),
        *static.server_lines(is_single_page=output.is_single_page, not_found=output.not_found),
        f"COPY --from=build /app/{output.folder} {static.SITE}",
        *static.start_lines(),
    ]
    does = f"{_build_text(package)}serves {output.folder} by nginx ({output.framework})"
    return _plan(files, settings, package, does, lines)


def _plan(files: AppFiles, settings: Settings, package: Mapping[str, Any], does: str, lines: list[str]) -> BuildPlan:
    has_version = "{version}" in settings.base(AppKind.NODE)
    title = f"Node {version_of(files, package)}" if has_version else f"Node of {settings.base(AppKind.NODE)}"
    because = manager_of(files, package).source if package else does.rpartition("(")[2].rstrip(")")
    return BuildPlan(AppKind.NODE, title, because, does, dockerfile.text_of(lines))


def _built(files: AppFiles, settings: Settings, package: Mapping[str, Any], stage: str) -> Iterator[str]:
    """The app, installed and built by its own user, so that it may write where a framework caches at run time."""
    yield dockerfile.base(settings.base(AppKind.NODE), version_of(files, package), stage)
    yield dockerfile.packages(_system_packages(package))
    manager = manager_of(files, package)
    if manager.setup:
        yield f"RUN {manager.setup}"
    if package and manager.name != "bun" and uses_bun(package):
        yield "RUN npm install -g --force bun@latest"
    yield from dockerfile.user()
    yield dockerfile.as_user()
    yield from dockerfile.arguments(settings)
    if not package:
        yield dockerfile.copy_all()
        return
    yield from _installed(files, package, manager)
    if has_build(package):
        yield f"RUN {manager.run('build')}"


def _installed(files: AppFiles, package: Mapping[str, Any], manager: PackageManager) -> Iterator[str]:
    needed = files_to_install(files, package)
    if not needed:
        yield dockerfile.copy_all()
    else:
        yield dockerfile.copy(*needed)
        for folder in folders_to_install(files):
            yield dockerfile.copy(folder, target=f"./{folder}")
    if manager.cache:
        yield dockerfile.cached(manager.cache, manager.install, owner=dockerfile.UID)
    else:
        yield f"RUN {manager.install}"
    if needed:
        yield dockerfile.copy_all()


def _build_text(package: Mapping[str, Any]) -> str:
    return "runs the build script, " if has_build(package) else ""


def _system_packages(package: Mapping[str, Any]) -> list[str]:
    names = {**table(package, "dependencies"), **table(package, "devDependencies")}
    found = [one for name in names for one in _SYSTEM_PACKAGES.get(name, ())]
    from_git = any(isinstance(wanted, str) and wanted.startswith(("git", "github:")) for wanted in names.values())
    return [*found, "ca-certificates", "git"] if from_git else found
