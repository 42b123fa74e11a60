"""Waits for a promote, rollback, stop, scale or restart operation."""

import asyncio
import time

import click

from sealift.cli.errors import describe
from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.enum_names import short
from sealift.cli.format.text import clean, clean_block, prose, queued_text, seconds
from sealift.cli.result import RESULT
from sealift.client.client import Client
from sealift.client.errors import ClientError
from sealift.client.follow import follow_operation
from sealift.ctrl.v1 import deployment_pb2

_STOPS = (deployment_pb2.OPERATION_KIND_STOP, deployment_pb2.OPERATION_KIND_TAKE_DOWN)


async def wait_for_operation(
    client: Client, operation: deployment_pb2.Operation, wait_timeout_s: float, *, as_json: bool
) -> int:
    """Wait until an operation has ended, print the URL on stdout and the duration; return the exit code.

    An interrupt or timeout leaves the operation running, and says so.
    """
    began, reason = time.monotonic(), ""
    verb = short(deployment_pb2.OperationKind.Name, operation.kind, "OPERATION_KIND_")
    is_stop = operation.kind in _STOPS
    _note(f"{_label(verb)} {operation.operation_id} {_aim(operation)}")
    try:
        async with asyncio.timeout(wait_timeout_s):
            async for state in follow_operation(client, operation.operation_id, notice=_note):
                operation = state
                if operation.queued_reason and operation.queued_reason != reason:
                    reason = operation.queued_reason
                    _note(queued_text(reason))
    except TimeoutError:
        message = f"no outcome after {wait_timeout_s:.0f} s; {operation.operation_id} continues"
        click.echo(message, err=True)
        RESULT.fail(ExitCode.NOT_HEALTHY, code="deadline_exceeded", message=message)
        return ExitCode.NOT_HEALTHY
    except asyncio.CancelledError:
        click.echo(f"interrupted; {operation.operation_id} continues, see: sealift ls", err=True)
        raise
    took_ms = operation.ended_at - operation.created_at if operation.ended_at else (time.monotonic() - began) * 1000
    done = operation.status == deployment_pb2.OPERATION_STATUS_DONE
    url = await _url(client, operation.deployment_id) if done and not is_stop else ""
    if as_json:
        RESULT.write(**_result(operation, verb, url, took_ms, done=done))
    else:
        _show(operation, verb, url, took_ms, done=done)
    return ExitCode.OK if done else ExitCode.FAILED


async def _url(client: Client, deployment_id: str) -> str:
    """The deployment's URL; "" if the call fails, because the operation itself is done."""
    try:
        deployment = await client.deployment(deployment_id)
    except ClientError as error:
        _note(f"can't get the URL: {describe(error)}")
        return ""
    return clean("".join(deployment.urls[:1]))


def _show(operation: deployment_pb2.Operation, verb: str, url: str, took_ms: float, *, done: bool) -> None:
    for notice in operation.notices:
        _note(clean(notice))
    took = f"{took_ms:.0f} ms" if took_ms < 10_000 else seconds(took_ms)
    if not done:
        error = operation.error
        _note(prose(f"{_label(verb)} failed after {took}: {clean_block(error.message)} [{error.code}]"))
        return
    _note(f"{_label(verb)} done in {took}: {_state(operation)}")
    if operation.kind == deployment_pb2.OPERATION_KIND_TAKE_DOWN:
        _note(prose('Visitors get 503 "the app is stopped" until the next deploy, or until you restore this one with:'))
        _note(f"  sealift promote {operation.deployment_id}")
    click.echo(url or operation.deployment_id)


def _aim(operation: deployment_pb2.Operation) -> str:
    """What an operation is about, as text."""
    if operation.kind == deployment_pb2.OPERATION_KIND_SCALE:
        return f"to {_instances(operation)}"
    moves = operation.kind in (deployment_pb2.OPERATION_KIND_PROMOTE, deployment_pb2.OPERATION_KIND_ROLLBACK)
    return f"{'to' if moves else 'of'} {operation.deployment_id}"


def _state(operation: deployment_pb2.Operation) -> str:
    """What an operation that is done has led to, as text."""
    if operation.kind == deployment_pb2.OPERATION_KIND_SCALE:
        return f"{_instances(operation)}, also of later deployments"
    if operation.kind == deployment_pb2.OPERATION_KIND_RESTART:
        return f"every instance of {operation.deployment_id} was made again"
    return f"{operation.deployment_id} is {'stopped' if operation.kind in _STOPS else 'live'}"


def _instances(operation: deployment_pb2.Operation) -> str:
    """The number of a scale, e.g. "3 instances of worker in each region"."""
    process = f" of {clean(operation.process)}" if operation.process else ""
    return f"{operation.replicas} {'instance' if operation.replicas == 1 else 'instances'}{process} in each region"


def _label(verb: str) -> str:
    """An operation's kind as text."""
    return verb.replace("_", "-")


def _result(
    operation: deployment_pb2.Operation, verb: str, url: str, took_ms: float, *, done: bool
) -> dict[str, object]:
    return {
        "kind": verb,
        "status": "done" if done else "failed",
        "exit_code": int(ExitCode.OK if done else ExitCode.FAILED),
        "operation_id": operation.operation_id,
        "deployment_id": operation.deployment_id,
        "previous_deployment_id": operation.previous_deployment_id,
        "url": url,
        **({"replicas": operation.replicas} if operation.replicas or operation.process else {}),
        **({"process": operation.process} if operation.process else {}),
        "notices": list(operation.notices),
        "code": operation.error.code,
        "message": operation.error.message,
        "took_ms": round(took_ms),
    }


def _note(text: str) -> None:
    click.echo(text, err=True)
