"""Formats usage errors in one line, like every other error: what is wrong, and where to find help."""

import re

import click

_EXTRA = re.compile(r"Got unexpected extra arguments? \((.+)\)")


def usage_text(error: click.ClickException) -> str:
    """Click's error as text, e.g. "--limit: 0 is not from 1 to 1000; see: sealift ls --help"."""
    text = _what(error).strip().removesuffix(".")
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx and (extra := _EXTRA.fullmatch(text)):
        words = extra[1].split()
        if len(words) == 1 and any("--to" in param.opts for param in ctx.command.params):
            text = f"{text}; did you mean --to {words[0]}? See: {ctx.command_path} --help"
        elif words[-1].startswith("bld_") and ctx.info_name in ("build", "builds"):
            text = f"{text}; did you mean: sealift build show {words[-1]}, or sealift cancel {words[-1]}?"
    has_hint = text.endswith("?") or "--help" in text
    hint = f"; see: {ctx.command_path} --help" if ctx and not has_hint else ""
    is_sentence = text[1:2].islower() or text[1:2] == " "
    return f"{text[:1].lower() if is_sentence else text[:1]}{text[1:]}{hint}"


def _what(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error)
    is_missing = isinstance(error, click.MissingParameter)
    if isinstance(error, click.BadParameter) and not is_missing and error.param and error.ctx:
        param = error.param
        name = param.opts[0] if isinstance(param, click.Option) else param.make_metavar(error.ctx).strip("[]")
        return f"{name}: {error.message}"
    return error.format_message()


NEAR = 0.7  # ratio of difflib, without the dashes; click's own measure suggests "--build" for "--tail"
# Options of other tools.
_ELSEWHERE = {
    "--app": "--project",
    "--name": "--project",
    "--environment": "--env",
    "--message": "--commit",
}
_INSTEAD = {
    "--prod": "production is the default environment; --env sets another one",
    "--production": "production is the default environment; --env sets another one",
    "--env-file": "`sealift env import FILE` sets variables",
    "--replicas": "`sealift scale N` sets it",
    "--min-replicas": "set [run] min_replicas in sealift.toml",
    "--max-replicas": "set [run] max_replicas in sealift.toml",
    "--url": "it comes before the command: sealift --url URL COMMAND",
    "--force": "use --yes to skip a confirmation",
}


def _no_such_option(error: click.NoSuchOption) -> str:
    from difflib import get_close_matches

    name = error.option_name
    text = f"no such option {name!r:.80}"
    if name in _INSTEAD:
        return f"{text}; {_INSTEAD[name]}"
    known = {option.lstrip("-"): option for option in error.possibilities or ()}
    near = [known[one] for one in get_close_matches(name.lstrip("-"), known, 1, NEAR)]
    if error.ctx and (foreign := _ELSEWHERE.get(name)):
        near = [option for param in error.ctx.command.params for option in param.opts if option == foreign]
    return f"{text}; did you mean {near[0]!r}?" if near else text
