"""Reading the feed: a complete snapshot with its version, or the changes after a cursor. Functions of a connection.

Both render what a reference stands for *now*, in the transaction that reads the reference: a message may be newer than
the version it carries, never older.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from pkg import installation
from pkg.desired.capabilities import BASELINE, registered
from pkg.errors import Internal
from pkg.feed import queries
from pkg.feed.queries import Change
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.api.feed.producer import Producer
from svc.api.feed.producers import without_answer

CHANGES_AT_ONCE = 200


@dataclass(frozen=True)
class Watcher:
    """The krane that reads: of which region, and what it says that it understands."""

    region: str
    capabilities: Collection[str] = field(default_factory=frozenset)

    def lacks(self, message: pb.WatchDesiredStateResponse) -> bool:
        """Whether the message takes more, beside its kind, than the krane understands."""
        return not set(message.required_capabilities) <= registered(self.capabilities)

    def may_be_sent(self, producer: Producer, message: pb.WatchDesiredStateResponse) -> bool:
        """Whether the message does no harm there.

        A krane that names capabilities skips what it does not understand by itself, and reports it. One from before
        that would break on an unknown kind, and serve a route without what it does not know of it.
        """
        return bool(self.capabilities) or {producer.kind.capability, *message.required_capabilities} <= BASELINE


@dataclass(frozen=True)
class Batch:
    """What to send next. After it, the receiver has seen everything up to `version` of `epoch`.

    `is_complete` False: more is waiting already.
    """

    messages: tuple[pb.WatchDesiredStateResponse, ...]
    epoch: str
    version: int
    is_complete: bool = True


def next_batch(
    connection: Connection, producers: Sequence[Producer], watcher: Watcher, epoch: str, cursor: int | None
) -> Batch:
    """The changes after `cursor`; a snapshot for None, another epoch, a cursor past head or pruned."""
    known = installation.get(connection)
    assert known is not None
    head = queries.head(connection)
    if cursor is None or epoch != known.epoch or cursor > head.version or cursor < head.pruned_to:
        messages = tuple(_snapshot(connection, producers, watcher, known.epoch))
        for message in messages:
            message.version = head.version
        return Batch(messages, known.epoch, head.version)
    changes = queries.after(connection, watcher.region, cursor, CHANGES_AT_ONCE)
    messages = tuple(_changes(connection, producers, watcher, changes))
    is_complete = len(changes) < CHANGES_AT_ONCE
    return Batch(messages, known.epoch, head.version if is_complete else changes[-1].version, is_complete)


def _snapshot(
    connection: Connection, producers: Sequence[Producer], watcher: Watcher, epoch: str
) -> Iterator[pb.WatchDesiredStateResponse]:
    yield pb.WatchDesiredStateResponse(snapshot_begin=pb.SnapshotBegin(epoch=epoch))
    for producer in producers:
        for message in producer.snapshot(connection, watcher.region):
            if watcher.lacks(message) and without_answer(message) is not None:
                continue
            if watcher.may_be_sent(producer, message):
                yield message
    yield pb.WatchDesiredStateResponse(snapshot_end=pb.SnapshotEnd())


def _changes(
    connection: Connection, producers: Sequence[Producer], watcher: Watcher, changes: Sequence[Change]
) -> Iterator[pb.WatchDesiredStateResponse]:
    by_kind = {producer.kind.name: producer for producer in producers}
    for change in changes:
        producer = by_kind.get(change.kind)
        if producer is None:
            raise Internal(
                "feed.unknown_kind",
                f"change {change.version} is of kind {change.kind!r}, which this api does not know: it is older than "
                "the program that recorded the change, upgrade it",
            )
        message = producer.current(connection, watcher.region, change.key)
        message.version = change.version
        if watcher.lacks(message):
            message = without_answer(message) or message
        if watcher.may_be_sent(producer, message):
            yield message
