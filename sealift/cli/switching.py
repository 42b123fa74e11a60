"""Waiting for a promote or a rollback."""

import asyncio
import time

import click

from sealift.cli.errors import describe
from sealift.cli.exits import Exit
from sealift.cli.names import short
from sealift.cli.result import RESULT
from sealift.cli.text import clean, clean_block, queued_text, seconds
from sealift.client.client import Client
from sealift.client.errors import ClientError
from sealift.client.follow import follow_operation
from sealift.ctrl.v1 import deployment_pb2


async def wait_for(client: Client, operation: deployment_pb2.Operation, wait_timeout_s: float, *, as_json: bool) -> int:
    """Wait until an operation has ended; print the address on stdout and the milliseconds it took. The exit code.

    An interrupt or a wait that got too long leaves the operation running, and says so.
    """
    began, reason = time.monotonic(), ""
    verb = short(deployment_pb2.OperationKind.Name, operation.kind, "OPERATION_KIND_")
    click.echo(f"{verb} {operation.operation_id} to {operation.deployment_id}", err=True)
    try:
        async with asyncio.timeout(wait_timeout_s):
            async for state in follow_operation(client, operation.operation_id, notice=_note):
                operation = state
                if operation.queued_reason and operation.queued_reason != reason:
                    reason = operation.queued_reason
                    _note(queued_text(reason))
    except TimeoutError:
        click.echo(f"no verdict after {wait_timeout_s:.0f} s; {operation.operation_id} goes on", err=True)
        return Exit.NOT_HEALTHY
    except asyncio.CancelledError:
        click.echo(f"interrupted; {operation.operation_id} goes on, see: sealift ls", err=True)
        raise
    took_ms = operation.ended_at - operation.created_at if operation.ended_at else (time.monotonic() - began) * 1000
    done = operation.status == deployment_pb2.OPERATION_STATUS_DONE
    url = await _url(client, operation.deployment_id) if done else ""
    if as_json:
        RESULT.tell(**_result(operation, verb, url, took_ms, done=done))
    else:
        _show(operation, verb, url, took_ms, done=done)
    return Exit.OK if done else Exit.FAILED


async def _url(client: Client, deployment_id: str) -> str:
    """The address; the switch is done whether or not it can be asked for now."""
    try:
        deployment = await client.deployment(deployment_id)
    except ClientError as error:
        _note(f"the address can't be asked for: {describe(error)}")
        return ""
    return clean("".join(deployment.urls[:1]))


def _show(operation: deployment_pb2.Operation, verb: str, url: str, took_ms: float, *, done: bool) -> None:
    for notice in operation.notices:
        _note(clean(notice))
    took = f"{took_ms:.0f} ms" if took_ms < 10_000 else seconds(took_ms)
    if done:
        _note(f"{verb} done in {took}: {operation.deployment_id} is live")
        click.echo(url or operation.deployment_id)
    else:
        _note(f"{verb} failed after {took}: {clean_block(operation.error.message)} [{operation.error.code}]")


def _result(
    operation: deployment_pb2.Operation, verb: str, url: str, took_ms: float, *, done: bool
) -> dict[str, object]:
    return {
        "kind": verb,
        "status": "done" if done else "failed",
        "exit_code": int(Exit.OK if done else Exit.FAILED),
        "operation_id": operation.operation_id,
        "deployment_id": operation.deployment_id,
        "previous_deployment_id": operation.previous_deployment_id,
        "url": url,
        "notices": list(operation.notices),
        "code": operation.error.code,
        "message": operation.error.message,
        "took_ms": round(took_ms),
    }


def _note(text: str) -> None:
    click.echo(text, err=True)
