"""Commits: `CommitNotifier` wakes those who wait for a commit of this process or of another.

`Database.write` reports the commits of this process; a `CommitWatcher` sees those of others, with one adapter for
each kind of database.
"""

from pkg.db.commits.notifier import CommitNotifier
from pkg.db.commits.watcher import CommitWatcher

__all__ = ["CommitNotifier", "CommitWatcher"]
