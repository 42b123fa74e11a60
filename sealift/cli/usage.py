"""Wrong usage in one line, as every other error: what was wrong, and where to look it up."""

import click


def usage_text(error: click.ClickException) -> str:
    """Click's finding for people, e.g. "--limit: 0 is not from 1 to 1000; see: sealift ls --help"."""
    said = _what(error).strip().removesuffix(".")
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    has_hint = said.endswith("?") or "--help" in said
    hint = f"; see: {ctx.command_path} --help" if ctx and not has_hint else ""
    is_sentence = said[1:2].islower() or said[1:2] == " "
    return f"{said[:1].lower() if is_sentence else said[:1]}{said[1:]}{hint}"


def _what(error: click.ClickException) -> str:
    is_missing = isinstance(error, click.MissingParameter)
    if isinstance(error, click.BadParameter) and not is_missing and error.param and error.ctx:
        param = error.param
        name = param.opts[0] if isinstance(param, click.Option) else param.make_metavar(error.ctx).strip("[]")
        return f"{name}: {error.message}"
    return error.format_message()
