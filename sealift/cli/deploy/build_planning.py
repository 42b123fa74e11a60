"""The build plan of a directory without a Dockerfile: finds the candidates, asks which one is meant."""

from collections.abc import Collection, Sequence
from pathlib import Path

import click
from msgspec import UNSET

from sealift.cli.buildplan.choose import ambiguous, candidates
from sealift.cli.buildplan.files import AppFiles
from sealift.cli.buildplan.model import AppKind, BaseImages, BuildPlan, Settings
from sealift.cli.deploy.first_deploy import may_ask
from sealift.cli.project.project_file import ProjectFile
from sealift.client.context import DEFAULT_DOCKERFILE, scan


def is_without_dockerfile(path: Path, file: ProjectFile, option: str | None) -> bool:
    """Whether a Dockerfile is generated: none is named, and none has the default name or one like it.

    Args:
        path: the directory.
        file: its sealift.toml; `[build] kind` says that other Dockerfiles are not meant.
        option: --dockerfile.
    """
    if option or file.dockerfile is not UNSET or (path / DEFAULT_DOCKERFILE).exists():
        return False
    try:
        alike = any("dockerfile" in one.name.lower() and one.is_file() for one in path.iterdir())
    except OSError:
        return False
    return not alike or file.build.kind is not UNSET


def settings_of(file: ProjectFile, base_image: str | None = None, build_args: Collection[str] = ()) -> Settings:
    """The settings of the rules, by sealift.toml and the options."""
    build = file.build
    bases = {
        name: value
        for name in ("python", "node", "go", "go_run", "static")
        if isinstance(value := getattr(build, f"base_{name}"), str)
    }
    return Settings(
        kind=AppKind(build.kind) if isinstance(build.kind, str) else None,
        bases=BaseImages(**bases),
        base_image=base_image or "",
        command=tuple(file.run.command) if isinstance(file.run.command, list) else (),
        has_release=file.release.words() is not None,
        go_package=build.go_package if isinstance(build.go_package, str) else "",
        build_args=tuple(sorted(build_args)),
    )


def find_plans(path: Path, settings: Settings, *, use_git: bool) -> list[BuildPlan]:
    """The candidates, by the files that would be sent.

    Raises:
        InputError: there is none, or the directory can't be scanned.
    """
    return candidates(AppFiles.of_context(scan(path, use_git=use_git, generated="")), settings)


def chosen(plans: Sequence[BuildPlan], *, may_ask_user: bool) -> BuildPlan:
    """The only candidate, or the one that the user chooses at the terminal.

    Raises:
        InputError: there are several, and nobody can be asked; the message names them and the setting that decides.
    """
    if len(plans) == 1:
        return plans[0]
    if not may_ask_user or not may_ask():
        raise ambiguous(plans)
    click.echo("There is no Dockerfile, and the app may be one of:", err=True)
    for number, plan in enumerate(plans, 1):
        click.echo(f"  {number}  {plan.sentence()}", err=True)
    number = click.prompt("Which one", type=click.IntRange(1, len(plans)), err=True)
    plan = plans[number - 1]
    click.echo(f'[build] kind = "{plan.kind.value}" in sealift.toml answers this next time', err=True)
    return plan
