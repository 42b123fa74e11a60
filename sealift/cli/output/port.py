"""The port through which a deploy or a build reports its progress."""

from typing import Protocol

from sealift.cli.format.build_log import BuildLine, BuildStepEvent
from sealift.cli.format.timeline import StepEvent
from sealift.cli.outcome import BuildOutcome, Outcome
from sealift.cli.recorded import Recorded
from sealift.client.errors import ClientError


class Output(Protocol):
    """Receives events in order. Text is already cleaned. `progress` may be called from any thread."""

    def heading(self, text: str) -> None:
        """What is deployed or built: project, environment, branch and commit."""

    def note(self, text: str) -> None:
        """An informational message."""

    def warn(self, text: str) -> None:
        """A warning."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Progress of packing or upload, in bytes."""

    def created(self, recorded: Recorded) -> None:
        """The server has recorded it."""

    def step(self, event: StepEvent) -> None:
        """A step of the deployment, or of a build without one, started or ended."""

    def build_step(self, event: BuildStepEvent) -> None:
        """A build step started or ended."""

    def build_line(self, line: BuildLine) -> None:
        """The build printed a line."""

    def outcome(self, outcome: Outcome) -> None:
        """The outcome of the deployment."""

    def build_outcome(self, outcome: BuildOutcome) -> None:
        """The outcome of a build without a deployment."""

    def detached(self, recorded: Recorded) -> None:
        """It was recorded, and the command does not wait."""

    def stopped_waiting(self, recorded: Recorded, why: str, code: int) -> None:
        """Waiting stopped before the end; the id is "" if nothing was recorded, or that is not known."""

    def error(self, error: ClientError, code: int) -> None:
        """The command failed."""

    def close(self) -> None:
        """Release the terminal. Idempotent."""
