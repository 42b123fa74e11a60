"""What the tables of every domain share. Each domain declares its own in `pkg/<domain>/tables.py`; see `pkg.schema`.

Times are epoch milliseconds. Statuses are stored as the lower-case names of the architecture and guarded in SQL.
Columns named `*_json` hold JSON made by our own code; `sealed` columns hold what `pkg.secrets` sealed.
"""

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# BigInteger does not count up by itself on SQLite
AUTO_ID = BigInteger().with_variant(Integer, "sqlite")
