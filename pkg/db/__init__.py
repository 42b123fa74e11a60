"""The control database: tables, transactions and migrations.

`Database.read(fn)` and `Database.write(fn)` run a whole transaction, a plain function of a connection, in a thread of
their own. No network call, and nothing that waits, belongs into such a function. SQLite on one machine, PostgreSQL
beyond: the same functions, the same tests. `Database.commits` wakes those who wait for a commit.
"""

from pkg.db.database import Database
from pkg.db.engine import create_engine

__all__ = ["Database", "create_engine"]
