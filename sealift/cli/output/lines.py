"""What the two peers for people have in common: which lines there are. How they look is theirs."""

import sys
from abc import ABC, abstractmethod

from sealift.cli.build_log import BuildLine, BuildStepEvent
from sealift.cli.errors import describe
from sealift.cli.text import seconds
from sealift.cli.timeline import Phase, StepEvent
from sealift.cli.verdict import Verdict
from sealift.client.errors import ClientError

TAIL_SHOWN = 12


class LineOutput(ABC):
    """Lines on stderr, the final address on stdout."""

    def __init__(self) -> None:
        self._open_step = ""

    @abstractmethod
    def _line(self, text: str, style: str = "", mark: str = "") -> None:
        """Show one line. `style` and `mark` are names that the peer knows: "good", "bad", "faint", "strong"."""

    @abstractmethod
    def progress(self, what: str, done: int, total: int) -> None:
        """How far the packing or the upload is, in bytes."""

    def heading(self, text: str) -> None:
        """What is about to be deployed where."""
        self._line(text, "strong")

    def note(self, text: str) -> None:
        """A fact by the way."""
        self._line(text, "faint")

    def warn(self, text: str) -> None:
        """Something to look at."""
        self._line(f"warning: {text}", "warning")

    def created(self, deployment_id: str, build_id: str) -> None:
        """The server has recorded the deployment."""
        self._line(f"deployment {deployment_id}", "strong")

    def step(self, event: StepEvent) -> None:
        """A step of the deployment began or ended."""
        name = event.name.capitalize()
        if event.phase is Phase.STARTED:
            return
        self._open_step = ""
        if event.phase is Phase.FAILED:
            self._line(f"{name}  {seconds(event.duration_ms)}", "bad", "bad")
        else:
            self._line(f"{name}  {seconds(event.duration_ms)}", "", "good")

    def build_step(self, event: BuildStepEvent) -> None:
        """A step of the build began or ended. Only ends are shown, and names over the lines of a step."""
        if not event.is_ended:
            return
        took = "cached" if event.state == "cached" else seconds(event.duration_ms)
        word = f"{event.state}  " if event.state in ("failed", "cancelled") else ""
        style = "bad" if event.state == "failed" else "faint"
        if event.name == self._open_step:
            self._line(f"    {word}{took}", style)
        else:
            self._line(f"  {event.name}  {word}{took}", style)
        self._open_step = ""

    def build_line(self, line: BuildLine) -> None:
        """The build printed a line."""
        if line.step and line.step != self._open_step:
            self._line(f"  {line.step}")
            self._open_step = line.step
        self._line(f"    {line.text}" if line.step else f"  {line.text}", "faint")

    def verdict(self, verdict: Verdict) -> None:
        """The end: a block for people, the address on stdout."""
        self.close()
        self._line("")
        if verdict.code == 0:
            self._line(verdict.title, "good", "good")
        else:
            at = f" while {verdict.step}" if verdict.step and verdict.step != "building" else ""
            self._line(f"{verdict.title}{at}", "bad", "bad")
            if verdict.tail:
                for text in verdict.tail[-TAIL_SHOWN:]:
                    self._line(f"    {text}", "faint")
            for text in verdict.reason.splitlines():
                self._line(f"  {text}")
        rows: list[tuple[str, str]] = [("Also at", url) for url in verdict.also]
        rows += [("Notice", notice) for notice in verdict.notices]
        rows += [("Deployment", verdict.deployment_id), ("Total", seconds(verdict.total_ms))]
        if verdict.error_code:
            rows.append(("Code", verdict.error_code))
        rows += [("Next", hint) for hint in verdict.next_steps]
        if verdict.url and not sys.stdout.isatty():
            rows.insert(0, ("URL", verdict.url))
        for name, value in rows:
            self._line(f"  {name:<11}{value}")
        self._data(verdict.url)

    def detached(self, deployment_id: str) -> None:
        """The end, when nobody waits: the id is the data."""
        self.close()
        self._line(f"not waiting; follow it with: sealift status --wait {deployment_id}", "faint")
        self._data(deployment_id)

    def left(self, deployment_id: str, why: str, code: int) -> None:
        """The end, when waiting stopped before the deployment did."""
        self.close()
        self._line("")
        if not deployment_id:
            self._line(why, "warning")
            return
        self._line(f"{why}; deployment {deployment_id} goes on", "warning")
        self._line(f"  follow it   sealift status --wait {deployment_id}")
        self._line(f"  stop it     sealift cancel {deployment_id}")

    def error(self, error: ClientError, code: int) -> None:
        """The end, when the command failed."""
        self.close()
        for text in f"error: {describe(error)}".split("\n"):
            self._line(text, "bad")

    def close(self) -> None:  # noqa: B027 - nothing to give back, unless the peer says otherwise
        """Give the terminal back."""

    @staticmethod
    def _data(text: str) -> None:
        if text:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
