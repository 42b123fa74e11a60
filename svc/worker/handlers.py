"""What all handlers share: their declaration, the check of their code's version, promises that are resolved once."""

from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.message import Message
from restate import TerminalError, Workflow, WorkflowSharedContext
from restate.exceptions import RetryableError

from pkg.restate import CONTENT_TYPE, Handler
from pkg.restate.serde import ProtoSerde
from sealift.workflow.v1.workflow_pb2 import Empty

M = TypeVar("M", bound=Message)


def declared(handler: Handler[Any, Any]) -> dict[str, Any]:
    """The arguments that declare a function as this handler. No body is the empty message."""
    return {
        "name": handler.name,
        "accept": CONTENT_TYPE,
        "content_type": CONTENT_TYPE,
        "input_serde": ProtoSerde(handler.request),
        "output_serde": ProtoSerde(handler.reply),
    }


def resolves(workflow: Workflow, handler: Handler[M, Empty], promise: str) -> None:
    """Declares a handler that resolves the durable promise with its request. Idempotent: the first request stays."""

    @workflow.handler(**declared(handler))
    async def resolve(ctx: WorkflowSharedContext, request: M) -> Empty:
        await resolve_once(ctx, promise, request)
        return Empty()


def check_code(journaled: int, current: int, workflow: str) -> None:
    """Refuses to continue an invocation that other code has started: its steps would not match the journal.

    Raises RetryableError: it waits for the code that started it, or for an operator who kills it; then the api's
    reconciliation ends the row.
    """
    if journaled != current:
        raise RetryableError(
            f"{workflow} was started by code version {journaled}, this worker has {current}: start the worker that "
            "started it and let it finish (an upgrade is a drain), or kill this invocation",
            retry_after=timedelta(seconds=5),
        )


async def resolve_once(ctx: WorkflowSharedContext, promise: str, message: Message) -> None:
    """Resolves a durable promise. Idempotent: the first resolution stays."""
    durable = ctx.promise(promise, serde=ProtoSerde(type(message)))
    if await durable.peek() is not None:
        return
    try:
        await durable.resolve(message)
    except TerminalError:  # lost a race against another resolution
        return
