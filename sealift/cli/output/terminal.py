"""Lines on a terminal, with a live status line: the current step and its duration."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sealift.cli.format.build_log import BuildStepEvent
from sealift.cli.format.tables import cut_middle
from sealift.cli.format.text import seconds, wrapped
from sealift.cli.format.timeline import STEPS, Phase, StepEvent, active_label
from sealift.cli.output.lines import LineOutput
from sealift.client.context import size_text

_STYLES = {
    "": "",
    "good": "green",
    "bad": "red",
    "stopped": "yellow",
    "faint": "dim",
    "strong": "bold",
    "warning": "yellow",
}
_MARKS = {"": "", "good": "✓ ", "bad": "✗ ", "stopped": "■ "}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
# Labels while the work runs.
_ACTIVE_LABELS = {"packed": "packing", "uploaded": "uploading"}
BAR_WIDTH = 24
REFRESH_HZ = 8
# Kept free at the end of the status line for the ^C that a terminal echoes; otherwise the line wraps and remains.
RESERVED_COLUMNS = 3


class TerminalOutput(LineOutput):
    """Rich lines on stderr. rich omits colours if NO_COLOR is set."""

    def __init__(self, console: Console | None = None, *, steps: Sequence[str] = STEPS) -> None:
        """`steps`: those that the work has, in order."""
        super().__init__()
        self._steps = list(steps)
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: tuple[str, int, int] | None = None
        self._began: dict[str, float] = {}
        self._ended: set[str] = set()
        self._build_step = ""
        self._live = Live(
            get_renderable=self._status_line, console=self._console, refresh_per_second=REFRESH_HZ, transient=True
        )
        self._live.start()

    def _line(self, text: str, style: str = "", mark: str = "") -> None:
        line = Text.assemble((_MARKS[mark], _STYLES[mark]), (text, "" if mark else _STYLES[style]))
        if mark and style:
            line.stylize(_STYLES[style])
        self._console.print(line)

    def _prose(self, text: str, style: str = "", indent: str = "") -> None:
        for line in wrapped(text, self._console.width, indent):
            self._line(line, style)

    def _row(self, name: str, value: str) -> None:
        for number, line in enumerate(wrapped(value, self._console.width - len(f"  {'':<11}"))):
            super()._row("" if number else name, line)

    def _fitted(self, name: str, taken: int) -> str:
        return cut_middle(name, max(20, self._console.width - taken))

    def progress(self, what: str, done: int, total: int) -> None:
        """Shown in the status line; a completed upload gets a line of its own."""
        before = self._progress
        self._progress = None if done >= total else (what, done, total)
        if before and done >= total and what != "packed":
            self._line(f"{what}: {size_text(total)}", "faint")

    def step(self, event: StepEvent) -> None:
        """A step of the deployment started or ended."""
        if event.phase is Phase.STARTED:
            self._began[event.name] = time.monotonic()
            if event.name not in self._steps:  # one that not every deploy has
                self._steps.insert(sum(name in self._ended for name in self._steps), event.name)
        else:
            self._ended.add(event.name)
            self._build_step = ""
        super().step(event)

    def build_step(self, event: BuildStepEvent) -> None:
        """A build step started or ended; the status line shows the one that started last."""
        self._build_step = "" if event.is_ended else event.name
        super().build_step(event)

    def close(self) -> None:
        """Remove the status line."""
        self._live.stop()

    def _status_line(self) -> Text:
        if self._progress:
            what, done, total = self._progress
            full = BAR_WIDTH * done // max(total, 1)
            bar = "█" * full + "░" * (BAR_WIDTH - full)
            label = _ACTIVE_LABELS.get(what, what)
            return self._fit(Text(f"{self._spinner()} {label}  {bar}  {size_text(done)} of {size_text(total)}"))
        line = Text()
        for name in self._steps:
            if name in self._ended:
                continue
            if name in self._began:
                took = (time.monotonic() - self._began[name]) * 1000
                line.append(f"{self._spinner()} {active_label(name)} {seconds(took)}", "bold")
                if self._build_step and name == "building":
                    line.append(f"  {self._build_step}", "dim")
            elif self._began:
                line.append(f"{'  ' if line else ''}· {active_label(name)}", "dim")
        return self._fit(line)

    def _fit(self, line: Text) -> Text:
        line.truncate(max(10, self._console.width - RESERVED_COLUMNS), overflow="ellipsis")
        line.no_wrap = True
        return line

    @staticmethod
    def _spinner() -> str:
        return _SPINNER[int(time.monotonic() * REFRESH_HZ) % len(_SPINNER)]
