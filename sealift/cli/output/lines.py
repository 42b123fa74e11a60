"""Base of the line outputs: which lines are shown. Subclasses decide how they look."""

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence

from sealift.cli.errors import describe
from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.build_log import BuildLine, BuildStepEvent
from sealift.cli.format.image_text import attestation_rows, image_rows
from sealift.cli.format.text import seconds
from sealift.cli.format.timeline import Phase, StepEvent, active_label, done_label
from sealift.cli.outcome import BuildOutcome, Ending, Outcome
from sealift.cli.recorded import Recorded
from sealift.client.errors import ClientError

TAIL_SHOWN = 12
# A FROM ends twice when its image is pulled: once it is resolved, and once a later step has made it be fetched.
_FROM = re.compile(r"\[(\S+ )?\d+/\d+\] FROM ")
# Errors of steps that ended on request.
_REQUESTED_ENDS = ("cancelled", "superseded")


class LineOutput(ABC):
    """Lines on stderr, the final URL on stdout."""

    def __init__(self) -> None:
        self._open_step = ""
        self._fetched: dict[str, BuildStepEvent | None] = {}  # ends of FROM by name, not shown yet; None: shown

    @abstractmethod
    def _line(self, text: str, style: str = "", mark: str = "") -> None:
        """Show one line. Styles: good, bad, stopped (also as `mark`), faint, strong, warning."""

    def _prose(self, text: str, style: str = "", indent: str = "") -> None:
        """Show sentences."""
        for line in text.split("\n"):
            self._line(f"{indent}{line}", style)

    def _fitted(self, name: str, taken: int) -> str:
        """The name of a build step; subclasses may cut it to fit beside `taken` columns."""
        return name

    def _row(self, name: str, value: str) -> None:
        """Show one fact of the outcome."""
        self._line(f"  {name:<11}{value}")

    @abstractmethod
    def progress(self, what: str, done: int, total: int) -> None:
        """Progress of packing or upload, in bytes."""

    def heading(self, text: str) -> None:
        """What is deployed or built: project, environment, branch and commit."""
        self._line(text, "strong")

    def note(self, text: str) -> None:
        """An informational message."""
        self._prose(text, "faint")

    def warn(self, text: str) -> None:
        """A warning."""
        self._prose(f"warning: {text}", "warning")

    def created(self, recorded: Recorded) -> None:
        """The server has recorded it."""
        self._line(f"{recorded.noun} {recorded.id}", "strong")

    def step(self, event: StepEvent) -> None:
        """A step of the deployment started or ended."""
        if event.phase is Phase.STARTED:
            return
        self._show_fetched()
        self._open_step = ""
        if event.error in _REQUESTED_ENDS:
            self._line(f"{active_label(event.name)}  {event.error} after {seconds(event.duration_ms)}", "", "stopped")
        elif event.phase is Phase.FAILED:
            self._line(f"{active_label(event.name)}  {seconds(event.duration_ms)}", "bad", "bad")
        else:
            self._line(f"{done_label(event.name)}  {seconds(event.duration_ms)}", "", "good")

    def build_step(self, event: BuildStepEvent) -> None:
        """A build step started or ended. Only ends are shown; `build_line` shows the name above a step's output.

        The end of a FROM is shown with the next step of the Dockerfile, so that the last of its ends counts.
        """
        if not _FROM.match(event.name) or event.name == self._open_step:
            if event.name.startswith("[") and not event.name.startswith("[internal]"):
                self._show_fetched()
        elif event.state == "failed":
            self._fetched[event.name] = None
        else:
            if event.is_ended and self._fetched.get(event.name, event) is not None:
                self._fetched[event.name] = event
            return
        self._end_of_build_step(event)

    def _show_fetched(self) -> None:
        """Show the ends of FROM that wait, in their order."""
        for name, event in self._fetched.items():
            if event is not None:
                self._fetched[name] = None
                self._end_of_build_step(event)

    def _end_of_build_step(self, event: BuildStepEvent) -> None:
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
        self._show_fetched()
        if line.step and line.step != self._open_step:
            self._line(f"  {self._fitted(line.step, 2)}")
            self._open_step = line.step
        self._line(f"    {line.text}" if line.step else f"  {line.text}", "faint")

    def outcome(self, outcome: Outcome) -> None:
        """The outcome of the deployment: a block on stderr, the URL on stdout."""
        rows = [("Also at", url) for url in outcome.also]
        rows += [("Notice", notice) for notice in outcome.notices]
        rows += [("Deployment", outcome.deployment_id)]
        traffic = [("Traffic", "unchanged")] if outcome.code != ExitCode.OK else []
        self._ending(outcome, ("URL", outcome.url), rows, traffic)

    def build_outcome(self, outcome: BuildOutcome) -> None:
        """The outcome of the build: a block on stderr, the id of a build that succeeded on stdout."""
        is_built = outcome.code == ExitCode.OK
        rows = [] if is_built else [("Build", outcome.build_id)]
        if is_built:
            rows += image_rows(outcome.image_name, outcome.image_ref, outcome.platform)
            rows += attestation_rows(outcome.attestations) if outcome.attestations else []
        self._ending(outcome, ("Build", outcome.build_id if is_built else ""), rows)

    def _ending(
        self,
        outcome: Ending,
        data: tuple[str, str],
        rows: Sequence[tuple[str, str]],
        last_rows: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Show how it ended. `data`: the label and the text of the result, which goes to stdout."""
        label, result = data
        self.close()
        self._line("")
        mark = {ExitCode.OK: "good", ExitCode.STOPPED: "stopped", ExitCode.NOT_LIVE: "stopped"}.get(outcome.code, "bad")
        self._line(outcome.title, mark, mark)
        is_seen = sys.stdout.isatty()  # a terminal shows stdout here; otherwise stderr repeats it
        if is_seen:
            self._data(result)
        if outcome.code != ExitCode.OK:
            for text in outcome.tail[-TAIL_SHOWN:]:
                self._line(f"    {text}", "faint")
            if outcome.reason:
                self._prose(outcome.reason, indent="  ")
        shown = [(label, result)] if result and not is_seen else []
        shown += [*rows, ("Total", seconds(outcome.total_ms))]
        if outcome.error_code:
            shown.append(("Code", outcome.error_code))
        shown += [*last_rows, *(("Next", hint) for hint in outcome.next_steps)]
        for name, value in shown:
            self._row(name, value)
        if not is_seen:
            self._data(result)

    def detached(self, recorded: Recorded) -> None:
        """It was recorded, and the command does not wait: print its id."""
        self.close()
        self._line(f"not waiting; to wait: {recorded.wait_command}", "faint")
        self._data(recorded.id)

    def stopped_waiting(self, recorded: Recorded, why: str, code: int) -> None:
        """Waiting stopped before the end."""
        self.close()
        self._line("")
        if not recorded.id:
            self._prose(why, "warning")
            return
        self._line(f"{why}; {recorded.noun} {recorded.id} continues", "warning")
        self._line(f"  to wait     {recorded.wait_command}")
        self._line(f"  to cancel   {recorded.cancel_command}")

    def error(self, error: ClientError, code: int) -> None:
        """The command failed."""
        self.close()
        self._prose(f"error: {describe(error)}", "bad")

    def close(self) -> None:  # noqa: B027 - optional for subclasses
        """Release the terminal."""

    @staticmethod
    def _data(text: str) -> None:
        if text:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
