"""Deletions over real calls: what is refused, what is repeated, and what an old client sees."""

from typing import Any

import pytest
from grpc import aio

from pkg.deletions import queries
from pkg.deletions.model import DeletionStep
from pkg.teardown.queries import erase
from sealift.ctrl.v1 import (
    build_pb2,
    deletion_pb2,
    deployment_pb2,
    domain_pb2,
    environment_pb2,
    key_pb2,
    project_pb2,
)
from svc.api.conftest import Deploy, Upload
from svc.api.deployment_testing import make_ready
from svc.api.testing import RecordingRestate, RunningApi, eventually
from svc.api.testing import refused as details_of


async def refused(call: Any) -> str:
    """The error code with which the call is refused."""
    with pytest.raises(aio.AioRpcError) as error:
        await call
    return details_of(error.value)[1]


async def preview_of(api: RunningApi, project_id: str) -> environment_pb2.Environment:
    request = environment_pb2.ListEnvironmentsRequest(project_id=project_id)
    found: environment_pb2.Environment = (await api.admin.environment.ListEnvironments(request)).environments[1]
    return found


async def test_nothing_new_begins_in_what_is_deleted(
    api: RunningApi, project: project_pb2.Project, upload: Upload, deploy: Deploy
) -> None:
    """Each call that would begin something is refused by name; what is there can still be read."""
    project_id = project.project_id
    made = await deploy()
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    standby = await deploy()
    await api.db.write(make_ready, standby.deployment_id)
    path = await upload(project_id)
    environment_id = made.environment_id
    domain = await api.admin.domain.AddDomain(
        domain_pb2.AddDomainRequest(environment_id=environment_id, hostname="www.shop.example")
    )
    answer = await api.admin.project.DeleteProject(project_pb2.DeleteProjectRequest(project_id=project_id))
    assert answer.deletion.status == deletion_pb2.DELETION_STATUS_PENDING
    assert answer.deletion.project_slug == "hello"
    context = build_pb2.BuildContext(build_context_path=path)
    calls = {
        "deploy": deploy(),
        "build": api.admin.build.CreateBuild(
            build_pb2.CreateBuildRequest(project_id=project_id, build_context=context)
        ),
        "upload": upload(project_id, b"FROM other\n"),
        "environment": api.admin.environment.CreateEnvironment(
            environment_pb2.CreateEnvironmentRequest(project_id=project_id, slug="staging")
        ),
        "variable": api.admin.environment.UpdateEnvironment(
            environment_pb2.UpdateEnvironmentRequest(environment_id=environment_id, set_variables={"A": "b"})
        ),
        "name": api.admin.project.UpdateProject(
            project_pb2.UpdateProjectRequest(project_id=project_id, name="another")
        ),
        "promote": api.admin.deployment.Promote(deployment_pb2.PromoteRequest(deployment_id=standby.deployment_id)),
        "rollback": api.admin.deployment.Rollback(
            deployment_pb2.RollbackRequest(environment_id=environment_id, deployment_id=standby.deployment_id)
        ),
        "stop": api.admin.deployment.StopDeployment(
            deployment_pb2.StopDeploymentRequest(deployment_id=standby.deployment_id)
        ),
        "domain": api.admin.domain.AddDomain(
            domain_pb2.AddDomainRequest(environment_id=environment_id, hostname="shop.example")
        ),
        "verify": api.admin.domain.VerifyDomain(domain_pb2.VerifyDomainRequest(domain_id=domain.domain.domain_id)),
        "delete deployment": api.admin.deployment.DeleteDeployment(
            deployment_pb2.DeleteDeploymentRequest(deployment_id=standby.deployment_id)
        ),
        "delete environment": api.admin.environment.DeleteEnvironment(
            environment_pb2.DeleteEnvironmentRequest(environment_id=(await preview_of(api, project_id)).environment_id)
        ),
    }
    codes = {name: await refused(call) for name, call in calls.items()}
    assert codes == dict.fromkeys(calls, "project.deleting")
    seen = await api.admin.project.GetProject(project_pb2.GetProjectRequest(slug="hello"))
    assert seen.project.deletion_id == answer.deletion.deletion_id
    found = await api.admin.deployment.GetDeployment(
        deployment_pb2.GetDeploymentRequest(deployment_id=standby.deployment_id)
    )
    assert found.deployment.deletion_id == answer.deletion.deletion_id


async def test_a_repetition_is_the_same_deletion(
    api: RunningApi, project: project_pb2.Project, restate: RecordingRestate
) -> None:
    """It is dispatched once; a repetition may let it go on without regions, and wakes it then."""
    first = await api.admin.project.DeleteProject(project_pb2.DeleteProjectRequest(project_id=project.project_id))
    request = project_pb2.DeleteProjectRequest(project_id=project.project_id, skip_regions=True)
    again = await api.admin.project.DeleteProject(request)
    deletion_id = first.deletion.deletion_id
    assert again.deletion.deletion_id == deletion_id
    assert (first.already_recorded, again.already_recorded) == (False, True)
    assert (first.deletion.skips_regions, again.deletion.skips_regions) == (False, True)
    await eventually(lambda: restate.count("Teardown", "applied", deletion_id) == 1, "it is woken")
    await eventually(lambda: restate.count("Teardown", "run", deletion_id) == 1, "it is dispatched")


async def test_production_stays_with_its_project(api: RunningApi, project: project_pb2.Project) -> None:
    """A preview environment can be deleted, that of production can't."""
    preview = await preview_of(api, project.project_id)
    found = await api.admin.environment.ListEnvironments(
        environment_pb2.ListEnvironmentsRequest(project_id=project.project_id)
    )
    production = environment_pb2.DeleteEnvironmentRequest(environment_id=found.environments[0].environment_id)
    assert await refused(api.admin.environment.DeleteEnvironment(production)) == "environment.production"
    request = environment_pb2.DeleteEnvironmentRequest(environment_id=preview.environment_id)
    answer = await api.admin.environment.DeleteEnvironment(request)
    assert answer.deletion.environment_slug == "preview"


async def test_who_may_delete(api: RunningApi, project: project_pb2.Project) -> None:
    """A key of CI can delete an environment, and no project."""
    request = key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_DEPLOY)
    secret = (await api.admin.key.CreateKey(request)).secret
    whole = project_pb2.DeleteProjectRequest(project_id=project.project_id)
    metadata = (("authorization", f"Bearer {secret}"),)
    assert await refused(api.open.project.DeleteProject(whole, metadata=metadata)) == "auth.role"
    part = environment_pb2.DeleteEnvironmentRequest(
        environment_id=(await preview_of(api, project.project_id)).environment_id
    )
    await api.open.environment.DeleteEnvironment(part, metadata=metadata)


async def test_an_old_client_meets_what_was_deleted(
    api: RunningApi, project: project_pb2.Project, deploy: Deploy
) -> None:
    """Ids answer that it was deleted, lists leave it out, the slug is free, and the deletion can still be read."""
    made = await deploy(idempotency_key="k")
    request = project_pb2.DeleteProjectRequest(project_id=project.project_id)
    deletion_id = (await api.admin.project.DeleteProject(request)).deletion.deletion_id
    watching = api.admin.deletion.WatchDeletion(deletion_pb2.WatchDeletionRequest(deletion_id=deletion_id))
    states = aiter(watching)
    assert (await anext(states)).deletion.step == "queued"

    def finish(connection: Any) -> None:
        queries.begin(connection, deletion_id)
        queries.note_progress(connection, deletion_id, DeletionStep.RECORDS)
        found = queries.get(connection, deletion_id)
        assert found is not None
        assert erase(connection, found, 5)

    await api.db.write(finish)
    seen = [state.deletion async for state in states]
    assert seen[-1].status == deletion_pb2.DELETION_STATUS_DONE
    for call in (
        api.admin.project.GetProject(project_pb2.GetProjectRequest(project_id=project.project_id)),
        api.admin.deployment.GetDeployment(deployment_pb2.GetDeploymentRequest(deployment_id=made.deployment_id)),
        api.admin.environment.GetEnvironment(environment_pb2.GetEnvironmentRequest(environment_id=made.environment_id)),
    ):
        with pytest.raises(aio.AioRpcError, match="was deleted") as error:
            await call
        assert details_of(error.value)[1].endswith(".not_found")
    assert await refused(deploy(idempotency_key="k")) == "project.not_found"
    assert not (await api.admin.project.ListProjects(project_pb2.ListProjectsRequest())).projects
    again = await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="hello"))
    assert again.project.project_id != project.project_id
    found = await api.admin.deletion.GetDeletion(deletion_pb2.GetDeletionRequest(deletion_id=deletion_id))
    assert found.deletion.status == deletion_pb2.DELETION_STATUS_DONE
    unknown = deletion_pb2.GetDeletionRequest(deletion_id=project.project_id.replace("proj_", "del_"))
    assert await refused(api.admin.deletion.GetDeletion(unknown)) == "deletion.not_found"
