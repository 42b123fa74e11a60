"""Waits for the end of a deletion, and says what it is at and what it waits for."""

import asyncio

import click

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.enum_names import short
from sealift.cli.format.text import clean, clean_block, prose, queued_text, seconds
from sealift.cli.result import RESULT
from sealift.client.client import Client
from sealift.client.follow import follow_deletion
from sealift.ctrl.v1 import deletion_pb2

STEPS = {
    "work": "ending what is under way",
    "routes": "removing the routes",
    "instances": "ending the instances",
    "images": "giving up the images",
    "contexts": "deleting the build contexts",
    "telemetry": "deleting logs and figures",
    "records": "erasing the records",
}
# It may be the user's turn now.
_REGION_STEPS = ("routes", "instances")


async def record_and_wait(
    client: Client, deletion: deletion_pb2.Deletion, wait_timeout_s: float, *, as_json: bool
) -> int:
    """Wait until a recorded deletion has ended, print its id on stdout; return the exit code.

    An interrupt or timeout leaves the deletion running, and says so. `wait_timeout_s` 0 does not wait.
    """
    _note(f"{deletion.deletion_id} deletes {_what(deletion)}")
    if wait_timeout_s:
        told = _Progress(deletion)
        try:
            async with asyncio.timeout(wait_timeout_s):
                async for state in follow_deletion(client, deletion.deletion_id, notice=_note):
                    deletion = state
                    told.tell(state)
        except TimeoutError:
            left = f": {clean(deletion.waits_for)}" if deletion.waits_for else ""
            at = STEPS.get(deletion.step, "queued")
            message = f"no end after {wait_timeout_s:.0f} s, {deletion.deletion_id} continues; it is {at}{left}"
            click.echo(prose(message), err=True)
            RESULT.fail(ExitCode.NOT_HEALTHY, code="deadline_exceeded", message=message)
            return ExitCode.NOT_HEALTHY
        except asyncio.CancelledError:
            click.echo(f"interrupted; {deletion.deletion_id} continues", err=True)
            raise
    failed = deletion.status == deletion_pb2.DELETION_STATUS_FAILED
    code = ExitCode.FAILED if failed else ExitCode.OK
    if as_json:
        RESULT.write(**_result(deletion, code))
        return code
    _show(deletion)
    return code


class _Progress:
    """Says what is new since the last state."""

    def __init__(self, deletion: deletion_pb2.Deletion) -> None:
        self._deletion = deletion
        self._said: set[str] = set()

    def tell(self, state: deletion_pb2.Deletion) -> None:
        """One line for each step, reason and notice, once."""
        if state.ended_at:
            return
        lines = [queued_text(state.queued_reason) if state.queued_reason else ""]
        if state.step in STEPS:
            lines.append(f"{STEPS[state.step]} …")
        if state.waits_for:
            lines.append(f"waits for: {clean(state.waits_for)}")
            if state.step in _REGION_STEPS and not state.skips_regions:
                lines.append("to go on without it, repeat the command with --skip-regions")
        for line in lines:
            if line and line not in self._said:
                self._said.add(line)
                _note(prose(line))


def _show(deletion: deletion_pb2.Deletion) -> None:
    for notice in deletion.notices:
        _note(prose(clean(notice)))
    if deletion.status == deletion_pb2.DELETION_STATUS_FAILED:
        _note(prose(f"the deletion failed: {clean_block(deletion.error.message)} [{deletion.error.code}]"))
    elif deletion.ended_at:
        _note(f"{_what(deletion)} is deleted, in {seconds(deletion.ended_at - deletion.created_at)}")
    click.echo(deletion.deletion_id)


def _what(deletion: deletion_pb2.Deletion) -> str:
    """What is deleted, e.g. "environment preview of shop"."""
    if deletion.deployment_id:
        return f"deployment {deletion.deployment_id}"
    if deletion.environment_id:
        return f"environment {clean(deletion.environment_slug)} of {clean(deletion.project_slug)}"
    return f"project {clean(deletion.project_slug)}"


def _result(deletion: deletion_pb2.Deletion, code: ExitCode) -> dict[str, object]:
    return {
        "kind": short(deletion_pb2.DeletionKind.Name, deletion.kind, "DELETION_KIND_"),
        "status": short(deletion_pb2.DeletionStatus.Name, deletion.status, "DELETION_STATUS_"),
        "exit_code": int(code),
        "deletion_id": deletion.deletion_id,
        "project_id": deletion.project_id,
        "environment_id": deletion.environment_id,
        "deployment_id": deletion.deployment_id,
        "step": deletion.step,
        "waits_for": deletion.waits_for,
        "notices": list(deletion.notices),
        "code": deletion.error.code,
        "message": deletion.error.message,
        "took_ms": max(0, deletion.ended_at - deletion.created_at),
    }


def _note(text: str) -> None:
    click.echo(text, err=True)
