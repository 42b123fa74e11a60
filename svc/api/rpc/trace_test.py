"""The trace of a caller continues in the intents that it records."""

import pytest
from sqlalchemy import select

from pkg.deployments.tables import deployments
from sealift.ctrl.v1 import deployment_pb2, project_pb2
from svc.api.testing import RunningApi

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(("sent", "kept"), [(TRACEPARENT, TRACEPARENT), ("junk", ""), ("", "")])
async def test_traceparent_is_kept(api: RunningApi, project: project_pb2.Project, sent: str, kept: str) -> None:
    """Promise: a valid traceparent is stored with the intent, also while this process does not trace; junk is not."""
    request = deployment_pb2.CreateDeploymentRequest(
        project_id=project.project_id, environment_slug="production", docker_image="nginx"
    )
    await api.admin.deployment.CreateDeployment(request, metadata=(("traceparent", sent),))
    assert await api.db.read(lambda c: c.execute(select(deployments.c.traceparent)).scalar_one()) == kept
