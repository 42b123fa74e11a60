"""The port between a deploy and whoever watches it."""

from typing import Protocol

from sealift.cli.build_log import BuildLine, BuildStepEvent
from sealift.cli.outcome import Outcome
from sealift.cli.timeline import StepEvent
from sealift.client.errors import ClientError


class Output(Protocol):
    """Told what happens, in order. Text is cleaned before it gets here. `progress` may come from any thread."""

    def heading(self, text: str) -> None:
        """What is about to be deployed where."""

    def note(self, text: str) -> None:
        """A fact by the way."""

    def warn(self, text: str) -> None:
        """Something to look at."""

    def progress(self, what: str, done: int, total: int) -> None:
        """How far the packing or the upload is, in bytes."""

    def created(self, deployment_id: str, build_id: str) -> None:
        """The server has recorded the deployment."""

    def step(self, event: StepEvent) -> None:
        """A step of the deployment began or ended."""

    def build_step(self, event: BuildStepEvent) -> None:
        """A step of the build began or ended."""

    def build_line(self, line: BuildLine) -> None:
        """The build printed a line."""

    def outcome(self, outcome: Outcome) -> None:
        """The end, when the deployment has one."""

    def detached(self, deployment_id: str) -> None:
        """The end, when nobody waits."""

    def stopped_waiting(self, deployment_id: str, why: str, code: int) -> None:
        """The end, when waiting stopped before the deployment did; no id: before there was one."""

    def error(self, error: ClientError, code: int) -> None:
        """The end, when the command failed."""

    def close(self) -> None:
        """Give the terminal back. Idempotent."""
