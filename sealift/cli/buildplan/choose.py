"""Chooses the plan for an app without a Dockerfile among the candidates."""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace

from sealift.cli.buildplan import go, node, python, static
from sealift.cli.buildplan.commands import given_start, kind_of, other_processes
from sealift.cli.buildplan.files import AppFiles
from sealift.cli.buildplan.model import AppKind, BuildPlan, NoStart, Settings
from sealift.cli.buildplan.node_packages import LOCKS
from sealift.client.errors import InputError

_FINDERS: dict[AppKind, Callable[[AppFiles, Settings], BuildPlan | NoStart | None]] = {
    AppKind.PYTHON: python.find,
    AppKind.NODE: node.find,
    AppKind.GO: go.find,
    AppKind.STATIC: static.find,
}
_LOOKED_FOR = {
    AppKind.PYTHON: "requirements.txt, pyproject.toml, Pipfile, main.py, app.py",
    AppKind.NODE: "package.json, server.js",
    AppKind.GO: "go.mod",
    AppKind.STATIC: "index.html (also in public, dist and _site)",
}
# Manifests of languages that are not detected, to say so.
_OTHER_LANGUAGES = {
    "Gemfile": "Ruby", "pom.xml": "Java", "build.gradle": "Java", "build.gradle.kts": "Kotlin", "composer.json": "PHP",
    "index.php": "PHP", "Cargo.toml": "Rust", "mix.exs": "Elixir", "deno.json": "Deno", "Package.swift": "Swift",
    "build.sbt": "Scala", "project.clj": "Clojure", "gleam.toml": "Gleam",
}  # fmt: skip
_MANIFESTS = frozenset({
    "requirements.txt", "pyproject.toml", "Pipfile", "package.json", "go.mod", "index.html",
})  # fmt: skip
# Files that say which packages are installed, with their package manager: one of them decides.
_PACKAGE_FILES = {
    AppKind.PYTHON: {"uv.lock": "uv", "poetry.lock": "poetry", "Pipfile.lock": "pipenv", "requirements.txt": "pip"},
    AppKind.NODE: LOCKS,
}
MAX_LISTED_FOLDERS = 3
MAX_SEARCHED_FOLDERS = 20


def candidates(files: AppFiles, settings: Settings) -> list[BuildPlan]:
    """The plans among which a user has to choose: one in most cases.

    Raises:
        InputError: there is none; the message says what was looked for.
    """
    plans, unclear = _find(files, settings)
    if not plans:
        raise _nothing(files, settings, unclear)
    return [replace(plan, notes=(*plan.notes, *_not_read(files, plan), *other_processes(files))) for plan in plans]


def _not_read(files: AppFiles, plan: BuildPlan) -> list[str]:
    """A note of the package files of other managers than the one that decides: they do not count."""
    managers = _PACKAGE_FILES.get(plan.kind, {})
    others = [path for path in managers if path in files and managers[path] != managers.get(plan.because)]
    if not others:
        return []
    are = "are" if len(others) > 1 else "is"
    return [f"packages are installed by {plan.because}: {' and '.join(others)} {are} not read"]


def _find(files: AppFiles, settings: Settings) -> tuple[list[BuildPlan], list[NoStart]]:
    """The plans, and the languages of which only the start command is missing."""
    kinds = [settings.kind] if settings.kind else list(AppKind)
    if not settings.kind and _other_languages(files):  # their package.json and public/ are of the pages only
        kinds = [AppKind.PYTHON, AppKind.GO]
    found = [plan for kind in kinds if (plan := _FINDERS[kind](files, settings))]
    plans = [plan for plan in found if isinstance(plan, BuildPlan)]
    if len(plans) > 1:
        plans = [plan for plan in plans if plan.kind is not AppKind.STATIC]  # the others serve files, too
    start = given_start(files, settings.command)
    if start and len(plans) > 1 and (kind := kind_of(start)):
        plans = [plan for plan in plans if plan.kind is kind] or plans
    return plans, [one for one in found if isinstance(one, NoStart)]


def ambiguous(plans: Sequence[BuildPlan]) -> InputError:
    """The refusal to choose among several plans."""
    listed = "".join(f"\n  {plan.sentence()}" for plan in plans)
    return InputError(
        f"there is no Dockerfile, and the app may be one of:{listed}\n"
        f'Choose in sealift.toml:\n  [build]\n  kind = "{plans[0].kind.value}"',
        code="context.ambiguous",
        field="kind",
    )


def _nothing(files: AppFiles, settings: Settings, known: Sequence[NoStart]) -> InputError:
    if known:
        one = known[0]
        return InputError(
            f"found {one.because}, but not how the app starts: there is no Procfile, and no {one.missing}. "
            f'Set it in sealift.toml:\n  [run]\n  command = ["program", "argument"]{_below(files, settings)}',
            code="context.no_start_command",
            field="command",
        )
    if settings.kind:
        return InputError(
            f'[build] kind is "{settings.kind.value}", but there is none of {_LOOKED_FOR[settings.kind]}',
            code="context.no_dockerfile",
            field="kind",
        )
    if others := _other_languages(files):
        what = f"there is no Dockerfile, and the app looks like {' or '.join(others)}, which needs one; write it"
    else:
        what = (
            f"there is no Dockerfile, and none of {', '.join(_LOOKED_FOR.values())}; write a Dockerfile, name another "
            "one with --dockerfile, or deploy a built image with --image"
        )
    return InputError(f"{what}{_below(files, settings)}", code="context.no_dockerfile", field="dockerfile")


def _other_languages(files: AppFiles) -> list[str]:
    return sorted({language for path, language in _OTHER_LANGUAGES.items() if path in files})


def _below(files: AppFiles, settings: Settings) -> str:
    """The folders that can be deployed by themselves."""
    manifests = sorted(
        path for path in files.paths if path.count("/") in (1, 2) and posixpath.basename(path) in _MANIFESTS
    )
    folders = list(dict.fromkeys(posixpath.dirname(path) for path in manifests))[:MAX_SEARCHED_FOLDERS]
    found = [folder for folder in folders if _is_app(files.below(folder), settings)]
    if not found:
        return ""
    more = f" and {len(found) - MAX_LISTED_FOLDERS} more" if len(found) > MAX_LISTED_FOLDERS else ""
    return f"\nfound apps in {', '.join(found[:MAX_LISTED_FOLDERS])}{more}: `sealift deploy {found[0]}`"


def _is_app(files: AppFiles, settings: Settings) -> bool:
    try:
        return bool(_find(files, settings)[0])
    except InputError:
        return False
