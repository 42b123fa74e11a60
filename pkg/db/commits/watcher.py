"""The port through which a process sees the commits of other processes."""

from typing import Protocol

from sqlalchemy import Connection


class CommitWatcher(Protocol):
    """Sees the commits that other processes make to one database. Belongs to one event loop."""

    async def next_commit(self) -> None:
        """Returns once another process has committed since the last return, at once if that is not known.

        May return without such a commit. Never raises for a database that cannot be watched: it logs that once, and
        returns when watching works again. One task at a time; it may be cancelled.
        """

    def announce(self, connection: Connection) -> None:
        """Tells the watchers of other processes of the commit that ends this transaction, if they need telling.

        Called in the writing thread, after the last statement of each write transaction.
        """

    def pause(self) -> None:
        """Nobody waits for now: frees what is not worth keeping meanwhile. `next_commit` goes on where it was."""

    def close(self) -> None:
        """Frees everything. Idempotent."""
