"""JSON output: one event per line on stdout; the last one is the result."""

import json
import sys
from typing import Any

from sealift.cli.errors import describe
from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.build_log import BuildLine, BuildStepEvent
from sealift.cli.format.timeline import StepEvent
from sealift.cli.outcome import BuildOutcome, Outcome
from sealift.cli.recorded import Recorded
from sealift.cli.result import RESULT
from sealift.client.errors import ClientError


class JsonOutput:
    """Events have the key `event`; the last one is `result`, with `status` and `exit_code`."""

    def __init__(self) -> None:
        self._finished: set[str] = set()

    def _emit(self, event: str, **values: Any) -> None:
        sys.stdout.write(json.dumps({"event": event, **values}, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def heading(self, text: str) -> None:
        """What is deployed or built: project, environment, branch and commit."""
        self._emit("note", text=text)

    def note(self, text: str) -> None:
        """An informational message."""
        self._emit("note", text=text)

    def warn(self, text: str) -> None:
        """A warning."""
        self._emit("warning", text=text)

    def progress(self, what: str, done: int, total: int) -> None:
        """One event, when it is complete."""
        if done >= total and what not in self._finished:
            self._finished.add(what)
            self._emit(what, bytes=total)

    def created(self, recorded: Recorded) -> None:
        """The server has recorded it."""
        self._emit("created", **{**recorded.ids, "build_id": recorded.build_id})

    def step(self, event: StepEvent) -> None:
        """A step of the deployment started or ended."""
        self._emit(
            "step",
            name=event.name,
            state=event.phase.value,
            started_at=event.started_at,
            duration_ms=event.duration_ms,
            error=event.error,
        )

    def build_step(self, event: BuildStepEvent) -> None:
        """A build step started or ended."""
        self._emit(
            "build_step",
            seq=event.seq,
            name=event.name,
            state=event.state,
            duration_ms=event.duration_ms,
            error=event.error,
        )

    def build_line(self, line: BuildLine) -> None:
        """The build printed a line."""
        self._emit("build_line", seq=line.seq, step=line.step, stream=line.stream, text=line.text)

    def outcome(self, outcome: Outcome) -> None:
        """The result of a deploy."""
        RESULT.write(
            status=outcome.status,
            is_live=outcome.code == ExitCode.OK,
            exit_code=int(outcome.code),
            deployment_id=outcome.deployment_id,
            superseded_by_deployment_id=outcome.superseded_by,
            url=outcome.url,
            urls=[url for url in (outcome.url, *outcome.also) if url],
            notices=list(outcome.notices),
            code=outcome.error_code,
            message=outcome.reason,
            step=outcome.step,
            log_tail=list(outcome.tail),
            next_steps=list(outcome.next_steps),
            total_ms=round(outcome.total_ms),
        )

    def build_outcome(self, outcome: BuildOutcome) -> None:
        """The result of a build."""
        RESULT.write(
            status=outcome.status,
            exit_code=int(outcome.code),
            build_id=outcome.build_id,
            image_name=outcome.image_name,
            image_ref=outcome.image_ref,
            platform=outcome.platform,
            attestations=list(outcome.attestations),
            code=outcome.error_code,
            message=outcome.reason,
            step=outcome.step,
            log_tail=list(outcome.tail),
            next_steps=list(outcome.next_steps),
            total_ms=round(outcome.total_ms),
        )

    def detached(self, recorded: Recorded) -> None:
        """The result of a command that does not wait."""
        RESULT.write(status="accepted", exit_code=0, **recorded.ids)

    def stopped_waiting(self, recorded: Recorded, why: str, code: int) -> None:
        """The result if waiting stopped before the end."""
        RESULT.write(status="unknown", exit_code=code, **recorded.ids, message=why)

    def error(self, error: ClientError, code: int) -> None:
        """The result of a failed command."""
        sys.stderr.write(f"error: {describe(error)}\n")
        RESULT.write(status="error", exit_code=code, code=error.code, message=error.message, field=error.field or "")

    def close(self) -> None:
        """Nothing to release."""
