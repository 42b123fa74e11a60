"""The stream of one region."""

import time
from collections.abc import AsyncGenerator, Sequence

from pkg.db import Database
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.api.feed.producer import Producer
from svc.api.feed.reader import Watcher, next_batch

KEEPALIVE_S = 10.0


async def stream(
    db: Database,
    producers: Sequence[Producer],
    watcher: Watcher,
    *,
    epoch: str,
    after_version: int,
    keepalive_s: float = KEEPALIVE_S,
) -> AsyncGenerator[pb.WatchDesiredStateResponse, None]:
    """A snapshot or the changes after the cursor, then every change as it is committed, until the caller ends it.

    HeadReached follows whenever all was sent, and every 10 s as a keepalive.
    """
    cursor: int | None = after_version or None
    sent_at = 0.0
    sent: tuple[str, int] | None = None
    while True:
        position = db.commits.position  # taken first: a commit during the read is seen below
        batch = await db.read(next_batch, producers, watcher, epoch, cursor)
        for message in batch.messages:
            yield message
        epoch, cursor = batch.epoch, batch.version
        if not batch.is_complete:
            continue
        is_quiet = time.monotonic() - sent_at >= keepalive_s
        if sent != (epoch, cursor) or is_quiet:
            yield pb.WatchDesiredStateResponse(version=cursor, head=pb.HeadReached())
            sent, sent_at = (epoch, cursor), time.monotonic()
        await db.commits.wait(position, max(keepalive_s - (time.monotonic() - sent_at), 0.01))
