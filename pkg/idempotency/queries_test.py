"""Promise: a key stands for one request for 24 hours."""

import pytest
from sqlalchemy import Connection

from pkg import idempotency
from pkg.db import Database
from pkg.errors import AlreadyExists
from pkg.idempotency.queries import payload_hash
from pkg.testing.sample_project import add_sample_project

NOW = 1_700_000_000_000
FIRST, OTHER = (payload_hash(b"key", payload) for payload in (b"a", b"b"))


async def test_a_key_is_bound_to_its_request_for_a_day(db: Database) -> None:
    """The same request gets the first result, another one is refused, and after a day the key is free."""

    def run(c: Connection) -> None:
        project_id = add_sample_project(c).project_id
        one = {"project_id": project_id, "key": "k", "payload_hash": FIRST}
        assert idempotency.find(c, **one, now=NOW) is None
        idempotency.keep(c, **one, result_id="dep_1", now=NOW)
        assert idempotency.find(c, **one, now=NOW + 1) == "dep_1"
        with pytest.raises(AlreadyExists):
            idempotency.find(c, project_id=project_id, key="k", payload_hash=OTHER, now=NOW + 1)
        later = NOW + idempotency.TTL_MS
        assert idempotency.find(c, project_id=project_id, key="k", payload_hash=OTHER, now=later) is None
        idempotency.keep(c, project_id=project_id, key="k", payload_hash=OTHER, result_id="dep_2", now=later)
        assert idempotency.forget_old(c, later + 1) == 0
        assert idempotency.forget_old(c, later + idempotency.TTL_MS) == 1

    await db.write(run)
