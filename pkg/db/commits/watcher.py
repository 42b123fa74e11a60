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
        """Announces the commit of this transaction to the watchers of other processes, if they need it.

        Called in the writing thread, after the last statement of each write transaction.
        """

    def pause(self) -> None:
        """Frees what is not worth keeping while nobody waits. `next_commit` continues from the same position."""

    def close(self) -> None:
        """Frees everything. Idempotent."""
