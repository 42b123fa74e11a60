"""Registers the worker with Restate."""

import asyncio
import logging

from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.restate import RestateClient

FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 5.0

log = logging.getLogger(__name__)


async def register(restate: RestateClient, uri: str, registered: asyncio.Event) -> None:
    """Registers the worker at `uri`, which answers already; retries until it succeeds, then sets `registered`.

    With force: Restate asks for the handlers again, as they may be those of a newer version.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            await restate.register(uri, force=True)
        except SealiftError as error:
            log.warning("not registered yet: %s", error.message, extra=fields(code=error.code))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LAST_PAUSE_S)
            continue
        registered.set()
        log.info("registered", extra=fields(uri=uri))
        return
