"""The start of a process that uses a store which may be away."""

import asyncio
import logging

from pkg.errors import SealiftError
from pkg.storage.port import ObjectStore

AGAIN_AFTER_S = 5.0

log = logging.getLogger(__name__)


async def prepare(store: ObjectStore) -> None:
    """Makes what the store needs, and checks it, as soon as it answers. Logs each reason why it can't, once."""
    told = ""
    while True:
        try:
            await store.prepare()
            return await store.check()
        except SealiftError as error:
            if error.message != told:
                told = error.message
                log.warning("the object store does not work: %s", told)
        await asyncio.sleep(AGAIN_AFTER_S)
