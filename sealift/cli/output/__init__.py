"""Output of a deploy or build: the port `Output` and its adapters `TerminalOutput`, `PlainOutput`, `JsonOutput`."""

from collections.abc import Sequence

from sealift.cli.format.timeline import STEPS
from sealift.cli.output.port import Output


def open_output(*, as_json: bool, steps: Sequence[str] = STEPS) -> Output:
    """The adapter for this process: JSON if requested, rich on a terminal, else plain lines.

    `steps`: those that the work has, in order; a terminal shows which are ahead.
    """
    from sealift.cli.format.text import is_interactive

    if as_json:
        from sealift.cli.output.json_lines import JsonOutput

        return JsonOutput()
    if is_interactive():
        from sealift.cli.output.terminal import TerminalOutput

        return TerminalOutput(steps=steps)
    from sealift.cli.output.plain import PlainOutput

    return PlainOutput()
