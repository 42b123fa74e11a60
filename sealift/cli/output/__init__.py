"""Output of a deploy: the port `Output` and its adapters `TerminalOutput`, `PlainOutput`, `JsonOutput`."""

from sealift.cli.output.port import Output


def open_output(*, as_json: bool) -> Output:
    """The adapter for this process: JSON if requested, rich on a terminal, else plain lines."""
    from sealift.cli.text import is_interactive

    if as_json:
        from sealift.cli.output.json_lines import JsonOutput

        return JsonOutput()
    if is_interactive():
        from sealift.cli.output.terminal import TerminalOutput

        return TerminalOutput()
    from sealift.cli.output.plain import PlainOutput

    return PlainOutput()
