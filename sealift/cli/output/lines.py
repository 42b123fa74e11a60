"""What the two peers for people have in common: which lines there are. How they look is theirs."""

import sys
from abc import ABC, abstractmethod

from sealift.cli.build_log import BuildLine, BuildStepEvent
from sealift.cli.errors import describe
from sealift.cli.exit_codes import ExitCode
from sealift.cli.outcome import Outcome
from sealift.cli.text import seconds
from sealift.cli.timeline import Phase, StepEvent, active_label, done_label
from sealift.client.errors import ClientError

TAIL_SHOWN = 12
# Errors of steps that ended because someone asked for it.
_ASKED_FOR = ("cancelled", "superseded")


class LineOutput(ABC):
    """Lines on stderr, the final address on stdout."""

    def __init__(self) -> None:
        self._open_step = ""

    @abstractmethod
    def _line(self, text: str, style: str = "", mark: str = "") -> None:
        """Show one line. The peer knows the names: good, bad, stopped (also as `mark`), faint, strong, warning."""

    def _prose(self, text: str, style: str = "", indent: str = "") -> None:
        """Show sentences."""
        for line in text.split("\n"):
            self._line(f"{indent}{line}", style)

    def _fitted(self, name: str, taken: int) -> str:
        """The name of a step of the build; of a peer that cuts, as much of it as fits beside `taken` places."""
        return name

    def _row(self, name: str, value: str) -> None:
        """Show one fact of the verdict."""
        self._line(f"  {name:<11}{value}")

    @abstractmethod
    def progress(self, what: str, done: int, total: int) -> None:
        """How far the packing or the upload is, in bytes."""

    def heading(self, text: str) -> None:
        """What is about to be deployed where."""
        self._line(text, "strong")

    def note(self, text: str) -> None:
        """A fact by the way."""
        self._prose(text, "faint")

    def warn(self, text: str) -> None:
        """Something to look at."""
        self._prose(f"warning: {text}", "warning")

    def created(self, deployment_id: str, build_id: str) -> None:
        """The server has recorded the deployment."""
        self._line(f"deployment {deployment_id}", "strong")

    def step(self, event: StepEvent) -> None:
        """A step of the deployment began or ended."""
        if event.phase is Phase.STARTED:
            return
        self._open_step = ""
        if event.error in _ASKED_FOR:
            self._line(f"{active_label(event.name)}  {event.error} after {seconds(event.duration_ms)}", "", "stopped")
        elif event.phase is Phase.FAILED:
            self._line(f"{active_label(event.name)}  {seconds(event.duration_ms)}", "bad", "bad")
        else:
            self._line(f"{done_label(event.name)}  {seconds(event.duration_ms)}", "", "good")

    def build_step(self, event: BuildStepEvent) -> None:
        """A step of the build began or ended. Only ends are shown, and names over the lines of a step."""
        is_open = event.name == self._open_step
        if not event.is_ended or (event.is_plumbing and not is_open):
            return
        took = seconds(event.duration_ms)
        end = {"completed": took, "failed": f"failed  {took}"}.get(event.state, event.state)
        whole = f"    {end}" if is_open else f"  {self._fitted(event.name, len(end) + 4)}  {end}"
        self._line(whole, "bad" if event.state == "failed" else "faint")
        self._open_step = ""

    def build_line(self, line: BuildLine) -> None:
        """The build printed a line."""
        if line.step and line.step != self._open_step:
            self._line(f"  {self._fitted(line.step, 2)}")
            self._open_step = line.step
        self._line(f"    {line.text}" if line.step else f"  {line.text}", "faint")

    def outcome(self, outcome: Outcome) -> None:
        """The end: a block for people, the address on stdout."""
        self.close()
        self._line("")
        mark = {ExitCode.OK: "good", ExitCode.STOPPED: "stopped", ExitCode.NOT_LIVE: "stopped"}.get(outcome.code, "bad")
        self._line(outcome.title, mark, mark)
        is_seen = sys.stdout.isatty()  # then it stands where it is looked for; else it is repeated for the log
        if is_seen:
            self._data(outcome.url)
        if outcome.code != ExitCode.OK:
            for text in outcome.tail[-TAIL_SHOWN:]:
                self._line(f"    {text}", "faint")
            if outcome.reason:
                self._prose(outcome.reason, indent="  ")
        rows: list[tuple[str, str]] = [("URL", outcome.url)] if outcome.url and not is_seen else []
        rows += [("Also at", url) for url in outcome.also]
        rows += [("Notice", notice) for notice in outcome.notices]
        rows += [("Deployment", outcome.deployment_id), ("Total", seconds(outcome.total_ms))]
        if outcome.error_code:
            rows.append(("Code", outcome.error_code))
        if outcome.code != ExitCode.OK:
            rows.append(("Served", "as before: nothing was changed"))
        rows += [("Next", hint) for hint in outcome.next_steps]
        for name, value in rows:
            self._row(name, value)
        if not is_seen:
            self._data(outcome.url)

    def detached(self, deployment_id: str) -> None:
        """The end, when nobody waits: the id is the data."""
        self.close()
        self._line(f"not waiting; follow it with: sealift status --wait {deployment_id}", "faint")
        self._data(deployment_id)

    def stopped_waiting(self, deployment_id: str, why: str, code: int) -> None:
        """The end, when waiting stopped before the deployment did."""
        self.close()
        self._line("")
        if not deployment_id:
            self._prose(why, "warning")
            return
        self._line(f"{why}; deployment {deployment_id} goes on", "warning")
        self._line(f"  follow it   sealift status --wait {deployment_id}")
        self._line(f"  stop it     sealift cancel {deployment_id}")

    def error(self, error: ClientError, code: int) -> None:
        """The end, when the command failed."""
        self.close()
        self._prose(f"error: {describe(error)}", "bad")

    def close(self) -> None:  # noqa: B027 - nothing to give back, unless the peer says otherwise
        """Give the terminal back."""

    @staticmethod
    def _data(text: str) -> None:
        if text:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
