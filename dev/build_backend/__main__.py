"""`dev/setup-build-backend`: asks which builder the local stack uses, tries it, and writes dev/.env."""

import asyncio
import os
import sys
from collections.abc import Mapping

import click

from dev.build_backend import trial, variables
from dev.build_backend.stack import SECTIONS
from dev.build_backend.variables import BACKEND, BACKENDS, VARIABLES, Variable
from pkg.config import ConfigError
from svc.standalone.config import StandaloneConfig

NONE = "-"  # an answer that removes a value; an empty one keeps it


def _flags(command: click.Command) -> click.Command:
    """An option for each variable that is no secret; a flag with a secret would show in the list of processes."""
    for variable in VARIABLES:
        if not variable.is_secret:
            help_text = f"{variable.text}  [{variable.name}]"
            command.params.append(click.Option([variable.flag, variable.name.lower()], metavar="TEXT", help=help_text))
    return command


@_flags
@click.command(name="setup-build-backend")
@click.argument("backend", type=click.Choice(BACKENDS))
@click.option("--no-check", is_flag=True, help="Write without trying the credentials.")
def main(backend: str, no_check: bool, **flags: str | None) -> None:
    """Choose what builds the images of the local stack, for `make up` and `make compose`.

    Asks for what is missing, tries the credentials, and writes dev/.env, which only you can read. What is set in the
    environment is taken from there; secrets are asked for or come from the environment, never from a flag.
    """
    before = {name: value for name, value in variables.read().items() if name in variables.NAMES}
    given = {name: os.environ[name] for name in variables.NAMES & os.environ.keys()}
    given |= {name.upper(): value for name, value in flags.items() if value is not None}
    values = {BACKEND: backend}
    for variable in VARIABLES:
        if backend in variable.backends:
            values[variable.name] = given.get(variable.name, before.get(variable.name, ""))
    while True:
        values = _asked(values, given) if _is_terminal() else _without_pointless(values, given)
        try:
            _check(values, is_tried=not no_check)
            break
        except click.ClickException as error:
            if not _is_terminal():
                raise
            error.show()
            if not click.confirm("Ask again, with these answers as defaults?", default=True, err=True):
                raise click.exceptions.Exit(error.exit_code) from None
    variables.write(values)
    click.echo(f"Wrote dev/.env. `make up` and `make compose` now build with {backend}.")


def _check(values: Mapping[str, str], *, is_tried: bool) -> None:
    """Raises ClickException with everything that is missing, or does not work."""
    try:
        for name, value in values.items():
            variables.assignment(name, value)
        config = trial.configured(variables.resolved(values))
    except ValueError as error:
        raise click.ClickException(f"{error}. Nothing was written.") from None
    except ConfigError as error:
        lines = "\n".join(f"  {line}" for line in _in_variables(error.problems))
        raise click.ClickException(f"this is not enough for {values[BACKEND]}; nothing was written:\n{lines}") from None
    if is_tried:
        _try(config)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _asked(values: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The answers. What is in `values` is the default; what is in `given` is not asked for."""
    answers = dict(values)
    for variable in VARIABLES:
        if variable.name not in values or variable.name in given:
            continue
        if not _matters(variable, answers):
            answers[variable.name] = ""
            continue
        if answers[variable.name]:
            hint = f", Enter keeps it, {NONE} removes it"
        else:
            hint = "" if answers[BACKEND] in variable.required_by else ", Enter for none"
        answer = click.prompt(
            f"{variable.name} ({variable.text}{hint})",
            default=values[variable.name],
            show_default=bool(values[variable.name]) and not variable.is_secret,
            hide_input=variable.is_secret,
        ).strip()
        answers[variable.name] = "" if answer == NONE else answer
    return answers


def _without_pointless(values: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The values without those of dev/.env that the others make pointless, such as certificates of a unix socket."""
    kept = dict(values)
    for variable in VARIABLES:
        if variable.name in kept and variable.name not in given and not _matters(variable, kept):
            kept[variable.name] = ""
    return kept


def _matters(variable: Variable, answers: Mapping[str, str]) -> bool:
    """Whether an earlier answer makes this question pointless."""
    if variable.name.startswith("SEALIFT_BUILD_BUILDKIT_") and variable.name != "SEALIFT_BUILD_BUILDKIT_ADDRESS":
        return answers["SEALIFT_BUILD_BUILDKIT_ADDRESS"].startswith("tcp://")
    for prefix in ("SEALIFT_REGISTRY_", "SEALIFT_BUILD_S3_"):
        if variable.name.startswith(prefix) and variable.name != f"{prefix}URL":
            return bool(answers[f"{prefix}URL"])
    return True


# What a missing section, or a key without a variable of its own, comes to.
_SECTION_VARIABLES = {
    "depot": "DEPOT_TOKEN",
    "external_url": "SEALIFT_BUILD_S3_URL",
    "registries[0].host": "SEALIFT_REGISTRY_URL",
    "registries[0].username": "SEALIFT_REGISTRY_PULL_USERNAME",
    "registries[0].password": "SEALIFT_REGISTRY_PULL_PASSWORD",
    "registry": "SEALIFT_REGISTRY_URL and SEALIFT_REGISTRY_PASSWORD",
}


def _in_variables(problems: list[str]) -> list[str]:
    """The problems with the variable behind each key; a key that no variable sets stays as it is."""
    names = {f"{section}.{key}": name for section, keys in SECTIONS.items() for key, name in keys.items()}
    names |= _SECTION_VARIABLES
    parts = (problem.partition(":") for problem in problems)
    return [f"{names.get(key, key)}{colon}{text}" for key, colon, text in parts]


def _try(config: StandaloneConfig) -> None:
    found = asyncio.run(trial.problems(config))
    for name, problem in found.items():
        click.echo(f"{name}: {problem or 'ok'}", err=bool(problem))
    if any(found.values()):
        raise click.ClickException("nothing was written. Correct it, or write it untried with --no-check.")


if __name__ == "__main__":
    main(prog_name="dev/setup-build-backend")
