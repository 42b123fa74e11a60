"""The audit log over real calls: who changed what, and nothing else."""

import json
from typing import Any

import pytest
from grpc import aio
from sqlalchemy import select

from pkg.audit.tables import audit_log
from pkg.auth import access_of
from pkg.auth.testing import METHODS
from pkg.certificates import queries as certificates
from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState
from pkg.desired.capabilities import BASELINE, JOB
from sealift.ctrl.v1 import (
    acme_pb2,
    build_pb2,
    ctrl_pb2,
    deployment_pb2,
    domain_pb2,
    environment_pb2,
    exec_pb2,
    job_pb2,
    key_pb2,
    project_pb2,
)
from sealift.ctrl.v1.options_pb2 import Permission
from svc.api.cluster_testing import place, register, report, seen
from svc.api.conftest import Deploy, Upload
from svc.api.deployment_testing import make_ready
from svc.api.testing import REGION, RunningApi, begin_drain

# they need a permission to change something, and change nothing that anybody sees
UNAUDITED = {"KeyService/ListKeys", "BuildService/GenerateUploadURL", "CtrlService/GetDrainStatus"}
SECRET = "hunter2-hunter2"


async def entries(api: RunningApi) -> list[Any]:
    return await api.db.read(lambda connection: list(connection.execute(select(audit_log).order_by(audit_log.c.id))))


def mutations() -> set[str]:
    """Every method that is for changing something, as its options say."""
    reading = {
        Permission.PERMISSION_OPEN,
        Permission.PERMISSION_READ,
        Permission.PERMISSION_CLUSTER,
        Permission.PERMISSION_ANY_KEY,
    }
    names = {
        f"{method.containing_service.name}/{method.name}"
        for method in METHODS
        if access_of(method).permission not in reading
    }
    return names - UNAUDITED


async def test_every_mutation_leaves_one_row(api: RunningApi, upload: Upload, deploy: Deploy) -> None:
    """Promise: each method that changes something writes who, in which call, on what; a new one fails here first."""
    admin = api.admin
    await register(api)
    project = (await admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="audited"))).project
    project_id = project.project_id
    await admin.project.UpdateProject(project_pb2.UpdateProjectRequest(project_id=project_id, name="A name"))
    environment = (
        await admin.environment.CreateEnvironment(
            environment_pb2.CreateEnvironmentRequest(project_id=project_id, slug="staging")
        )
    ).environment
    await admin.environment.UpdateEnvironment(
        environment_pb2.UpdateEnvironmentRequest(
            environment_id=environment.environment_id, set_variables={"TOKEN": SECRET}
        )
    )
    context = build_pb2.BuildContext(
        build_context_path=await upload(project_id), secrets=[build_pb2.BuildSecret(id="s", value=SECRET.encode())]
    )
    build = (
        await admin.build.CreateBuild(build_pb2.CreateBuildRequest(project_id=project_id, build_context=context))
    ).build
    await admin.build.CancelBuild(build_pb2.CancelBuildRequest(build_id=build.build_id))
    into = {"project_id": project_id, "environment_slug": "staging"}
    first = await deploy(**into, variables={"ALSO": SECRET})
    await api.db.write(make_ready, first.deployment_id, hostname="audited.sealift.localhost")
    second = await deploy(**into)
    await api.db.write(make_ready, second.deployment_id)
    await api.db.write(deployments.set_run_state, second.deployment_id, RunState.STANDBY, 1)
    cancelled = await deploy(**into)
    await admin.deployment.CancelDeployment(
        deployment_pb2.CancelDeploymentRequest(deployment_id=cancelled.deployment_id)
    )
    await admin.deployment.Promote(deployment_pb2.PromoteRequest(deployment_id=second.deployment_id))
    await admin.deployment.Rollback(
        deployment_pb2.RollbackRequest(environment_id=environment.environment_id, deployment_id=second.deployment_id)
    )
    await admin.environment.Scale(environment_pb2.ScaleRequest(environment_id=environment.environment_id, replicas=2))
    await admin.deployment.Restart(deployment_pb2.RestartRequest(deployment_id=first.deployment_id))
    await admin.deployment.StopDeployment(
        deployment_pb2.StopDeploymentRequest(deployment_id=first.deployment_id, take_down=True),
        metadata=(("x-request-id", "req-stop"),),
    )
    key = (await admin.key.CreateKey(key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_DEPLOY))).key
    await admin.key.RevokeKey(key_pb2.RevokeKeyRequest(key_id=key.key_id))
    await admin.ctrl.EndDrain(ctrl_pb2.EndDrainRequest(drain_id=await begin_drain(api)))
    await register(api, capabilities=sorted(BASELINE | {JOB.capability}))
    await api.db.write(place, first.deployment_id)
    command = job_pb2.RunCommandRequest(environment_id=environment.environment_id, command=["id"])
    await admin.job.StopJob(job_pb2.StopJobRequest(job_id=(await admin.job.RunCommand(command)).job.job_id))
    domain = (
        await admin.domain.AddDomain(
            domain_pb2.AddDomainRequest(environment_id=environment.environment_id, hostname="www.audited.example")
        )
    ).domain
    await admin.domain.VerifyDomain(domain_pb2.VerifyDomainRequest(domain_id=domain.domain_id))
    await admin.domain.RemoveDomain(domain_pb2.RemoveDomainRequest(domain_id=domain.domain_id))
    wish = {"name": "a.example", "names_json": ["a.example"], "issuer": "local", "challenge": "", "workspace_id": None}
    await api.db.write(certificates.put_managed, wish, 1)
    await admin.acme.RetryCertificate(acme_pb2.RetryCertificateRequest(name="a.example"))
    await report(api, seen(second.deployment_id, deployment_pb2.INSTANCE_STATE_HEALTHY))
    kranes = api.krane.cluster.ServeExecs(exec_pb2.ServeExecsRequest(region=REGION))
    await kranes.read()
    start = exec_pb2.ExecStart(deployment_id=second.deployment_id, command=["echo", SECRET])
    run = admin.exec.Exec([exec_pb2.ExecRequest(start=start)])
    assert (await kranes.read()).HasField("task")
    run.cancel()
    kranes.cancel()
    await admin.deployment.DeleteDeployment(
        deployment_pb2.DeleteDeploymentRequest(deployment_id=cancelled.deployment_id)
    )
    await admin.environment.DeleteEnvironment(
        environment_pb2.DeleteEnvironmentRequest(environment_id=environment.environment_id)
    )
    await admin.project.DeleteProject(project_pb2.DeleteProjectRequest(project_id=project_id))
    rows = await entries(api)
    assert {row.method.removeprefix("/sealift.ctrl.v1.") for row in rows} == mutations()
    assert len(rows) == len(mutations()) + 3  # three deployments, and the project of the fixture
    assert {row.key_name for row in rows} == {"admin"}
    assert {row.workspace_id for row in rows} == {project.workspace_id}
    assert all(row.at > 0 and row.key_id.startswith("key_") and row.request_id for row in rows)
    by_request = {row.request_id: row for row in rows}
    stopped = by_request["req-stop"].targets_json
    assert stopped.pop("operation_id").startswith("op_")
    assert stopped == {
        "project_id": project_id, "environment_id": environment.environment_id, "deployment_id": first.deployment_id,
    }  # fmt: skip
    assert [row.targets_json for row in rows if "key_id" in row.targets_json] == [{"key_id": key.key_id}] * 2
    for row in rows:
        names = ("name", "command")
        assert all((name.endswith("_id") or name in names) and value for name, value in row.targets_json.items())
    assert SECRET not in json.dumps([row.targets_json for row in rows])


async def test_a_repetition_leaves_no_row(
    api: RunningApi, project: project_pb2.Project, upload: Upload, deploy: Deploy
) -> None:
    """Promise: a call that finds its work done already, with an idempotency key or without, records nothing."""
    made = await deploy(idempotency_key="k")
    await deploy(idempotency_key="k")
    build = build_pb2.CreateBuildRequest(
        project_id=project.project_id,
        build_context=build_pb2.BuildContext(build_context_path=await upload(project.project_id)),
        idempotency_key="b",
    )
    await api.admin.build.CreateBuild(build)
    built = (await api.admin.build.CreateBuild(build)).build
    await api.db.write(make_ready, made.deployment_id)
    other = await deploy()
    key = (await api.admin.key.CreateKey(key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_DEPLOY))).key
    promote = deployment_pb2.PromoteRequest(deployment_id=made.deployment_id, idempotency_key="p")
    for _ in range(2):
        await api.admin.build.CancelBuild(build_pb2.CancelBuildRequest(build_id=built.build_id))
        await api.admin.deployment.CancelDeployment(
            deployment_pb2.CancelDeploymentRequest(deployment_id=other.deployment_id)
        )
        await api.admin.deployment.Promote(promote)
        await api.admin.key.RevokeKey(key_pb2.RevokeKeyRequest(key_id=key.key_id))
    drains = [await begin_drain(api) for _ in range(2)]
    for drain_id in drains:
        await api.admin.ctrl.EndDrain(ctrl_pb2.EndDrainRequest(drain_id=drain_id))
    methods = [row.method.rpartition("/")[2] for row in await entries(api)]
    assert sorted(methods) == [
        "BeginDrain", "CancelBuild", "CancelDeployment", "CreateBuild", "CreateDeployment", "CreateDeployment",
        "CreateKey", "CreateProject", "EndDrain", "Promote", "RevokeKey",
    ]  # fmt: skip


async def test_a_refused_change_leaves_no_row(api: RunningApi, project: project_pb2.Project) -> None:
    """Promise: only changes that were made are in the log."""
    before = await entries(api)
    with pytest.raises(aio.AioRpcError):
        await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug=project.slug))
    assert await entries(api) == before
