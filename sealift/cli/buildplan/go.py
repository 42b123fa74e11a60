"""The plan of a Go app."""

import re
from collections.abc import Iterator

from sealift.cli.buildplan import dockerfile, versions
from sealift.cli.buildplan.commands import given_start
from sealift.cli.buildplan.files import AppFiles
from sealift.cli.buildplan.model import AppKind, BuildPlan, NoStart, Settings, Start
from sealift.client.errors import InputError

DEFAULT_VERSION = "1.25"
_GO = re.compile(r"^go\s+(\S+)", re.MULTILINE)
_TOOLCHAIN = re.compile(r"^toolchain\s+go(\S+)", re.MULTILINE)
_MAIN = re.compile(r"^package\s+main\b", re.MULTILINE)
_IGNORED = re.compile(r"^//\s*(?:go:build|\+build)\s+(?:ignore|tools)\b", re.MULTILINE)
_PACKAGE = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_SKIPPED = frozenset(
    {"vendor", "testdata", "examples", "example", "internal", "tools", "hack", "scripts", "test", "tests"}
)
_USUAL = ("server", "web", "api", "app")


def find(files: AppFiles, settings: Settings) -> BuildPlan | NoStart | None:
    """The plan of the app; None if it is not a Go app.

    Raises:
        InputError: several packages may be the app; the message names them.
    """
    if "go.mod" not in files:
        return None
    package = _package(files, settings)
    if package is None:
        return NoStart(AppKind.GO, "go.mod", "package main in the directory or in cmd/")
    named = given_start(files, settings.command)
    start = named or Start("app", ("/app/bin/app",), f"./{package}" if package else "package main")
    version = _version(files)
    go_files = ("go.mod", *(name for name in ("go.sum",) if name in files))
    has_vendor = files.has_folder("vendor") or "go.work" in files
    build = (
        f"go build -o /out/ ./... && go build -o /out/app ./{package}" if named else f"go build -o /out/app ./{package}"
    )
    lines = [
        dockerfile.base(settings.base(AppKind.GO), version, "build"),
        "WORKDIR /src",
        *dockerfile.arguments(settings),
        *(() if has_vendor else (
            f"COPY {' '.join(go_files)} ./",
            dockerfile.cached("/go/pkg/mod", "GOMODCACHE=/go/pkg/mod go mod download"),
        )),
        "COPY . .",
        "RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build mkdir -p /out && "
        f"GOMODCACHE=/go/pkg/mod GOCACHE=/root/.cache/go-build GOFLAGS=-buildvcs=false sh -c '{build}'",
        dockerfile.BREAK,
        dockerfile.base(settings.bases.go_run),
        # The image that runs the app has no certificates of authorities.
        "COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
        *dockerfile.user(),
        dockerfile.copy_all(),  # templates and the like
        "COPY --from=build /out /app/bin",
        "ENV PATH=/app/bin:$PATH",
        dockerfile.as_user(),
        dockerfile.command(start),
    ]  # fmt: skip
    title = f"Go {version}" if "{version}" in settings.base(AppKind.GO) else f"Go of {settings.base(AppKind.GO)}"
    return BuildPlan(AppKind.GO, title, "go.mod", f"starts {start.line} ({start.source})", dockerfile.text_of(lines))


def _version(files: AppFiles) -> str:
    """By go.mod; a newer Go builds what needs an older one, so this is the least version."""
    text = files.text("go.mod")
    for found in (_TOOLCHAIN.search(text), _GO.search(text)):
        if found and (version := versions.exact(found[1], 2)):
            is_newer = tuple(map(int, version.split("."))) > tuple(map(int, DEFAULT_VERSION.split(".")))
            return version if is_newer else DEFAULT_VERSION
    return DEFAULT_VERSION


def _package(files: AppFiles, settings: Settings) -> str | None:
    """The folder of the package main that is the app, "" for the directory itself; None if there is none."""
    found = sorted(set(_packages(files)), key=lambda folder: (folder.count("/"), folder))
    given = settings.go_package.removeprefix("./").strip("/")
    if settings.go_package:
        given = "" if given == "." else given
        if given not in found:
            raise InputError(
                f"[build] go_package {settings.go_package!r:.80} is not a package main; these are: {_listed(found)}",
                code="config.invalid",
                field="go_package",
            )
        return given
    if "" in found or not found:
        return "" if found else None
    usual = [folder for name in _USUAL for folder in found if folder.rpartition("/")[2] == name]
    if len(found) == 1 or usual:
        return (usual or found)[0]
    raise InputError(
        f"several packages may be the app: {_listed(found)}. Set one in sealift.toml:\n"
        f'  [build]\n  go_package = "./{found[0]}"',
        code="context.ambiguous",
        field="go_package",
    )


def _packages(files: AppFiles) -> Iterator[str]:
    for path in files.paths:
        folder, _, name = path.rpartition("/")
        if not name.endswith(".go") or name.endswith("_test.go") or _SKIPPED & set(folder.split("/")):
            continue
        text = files.text(path)
        if _MAIN.search(text) and not _IGNORED.search(text) and (not folder or _PACKAGE.fullmatch(folder)):
            yield folder


def _listed(folders: list[str]) -> str:
    return ", ".join(f"./{folder}" for folder in folders[:5]) or "none"
