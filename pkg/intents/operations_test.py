"""Promise: a switch is recorded only to a deployment that can take traffic, of the same environment."""

import pytest
from sqlalchemy import Connection

from pkg import intents
from pkg.db import Database
from pkg.errors import FailedPrecondition, NotFound
from pkg.operations.model import OperationKind
from pkg.routes import queries as routes
from pkg.testing.sample_project import add_sample_project, environment_of, record_deploy


async def test_switch_needs_something_live_and_something_ready(db: Database) -> None:
    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        production = environment_of(c, sample.production_id)

        def switch(kind: OperationKind, target: str | None) -> str:
            return intents.record_switch(
                c, kind=kind, environment=production, deployment_id=target, traceparent="", now=1
            )

        with pytest.raises(FailedPrecondition, match="no live deployment"):
            switch(OperationKind.ROLLBACK, None)
        with pytest.raises(NotFound):
            switch(OperationKind.PROMOTE, "dep_none")
        deployment = record_deploy(c, sample)
        with pytest.raises(FailedPrecondition, match="not ready"):
            switch(OperationKind.PROMOTE, deployment.id)
        elsewhere = record_deploy(c, sample, environment_id=sample.preview_id)
        with pytest.raises(NotFound):
            switch(OperationKind.PROMOTE, elsewhere.id)
        assert routes.live_deployment_id(c, production.id) is None

    await db.write(run)
