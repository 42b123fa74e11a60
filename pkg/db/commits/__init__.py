"""Who has committed: `CommitNotifier` wakes those who wait for a commit, of this process or of another.

Commits of this process are told by `Database.write`; those of others are seen by a `CommitWatcher`, one adapter for
each kind of database.
"""

from pkg.db.commits.notifier import CommitNotifier
from pkg.db.commits.watcher import CommitWatcher

__all__ = ["CommitNotifier", "CommitWatcher"]
