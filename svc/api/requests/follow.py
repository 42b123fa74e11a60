"""Streams the state of one resource: at once, then after every change, until it has ended."""

from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection

from pkg.db import Database

RELOAD_EVERY_S = 30.0  # without any commit: a safety net, changes are noticed by commits

M = TypeVar("M", bound=Message)


async def follow(
    db: Database, load: Callable[[Connection], tuple[M, bool]], reload_every_s: float = RELOAD_EVERY_S
) -> AsyncGenerator[M, None]:
    """Yields what `load` makes whenever it differs from the message before; ends after `load` says it is the last."""
    before: M | None = None
    while True:
        position = db.commits.position  # taken first: a commit during the read is seen below
        message, is_last = await db.read(load)
        if message != before:
            yield message
            before = message
        if is_last:
            return
        await db.commits.wait(position, reload_every_s)
