"""The port through which a deploy reports its progress."""

from typing import Protocol

from sealift.cli.build_log import BuildLine, BuildStepEvent
from sealift.cli.outcome import Outcome
from sealift.cli.timeline import StepEvent
from sealift.client.errors import ClientError


class Output(Protocol):
    """Receives events in order. Text is already cleaned. `progress` may be called from any thread."""

    def heading(self, text: str) -> None:
        """Project, environment, branch and commit of the deploy."""

    def note(self, text: str) -> None:
        """An informational message."""

    def warn(self, text: str) -> None:
        """A warning."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Progress of packing or upload, in bytes."""

    def created(self, deployment_id: str, build_id: str) -> None:
        """The server has recorded the deployment."""

    def step(self, event: StepEvent) -> None:
        """A step of the deployment started or ended."""

    def build_step(self, event: BuildStepEvent) -> None:
        """A build step started or ended."""

    def build_line(self, line: BuildLine) -> None:
        """The build printed a line."""

    def outcome(self, outcome: Outcome) -> None:
        """The outcome of the deployment."""

    def detached(self, deployment_id: str) -> None:
        """The deployment was created, and the command does not wait."""

    def stopped_waiting(self, deployment_id: str, why: str, code: int) -> None:
        """Waiting stopped before the deployment ended; `deployment_id` is "" if it was not created."""

    def error(self, error: ClientError, code: int) -> None:
        """The command failed."""

    def close(self) -> None:
        """Release the terminal. Idempotent."""
