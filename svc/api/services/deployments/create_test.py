"""CreateDeployment through a real channel, a real database file and a real store."""

import dataclasses
import json

import grpc
import pytest
from sqlalchemy import Connection, func, select, update

from pkg.builds.tables import build_secrets, builds
from pkg.clock import now_ms
from pkg.deployments.tables import deployments
from pkg.idempotency.tables import idempotency_keys
from pkg.secrets import AssociatedData
from pkg.workflows.tables import dispatches
from sealift.ctrl.v1 import build_pb2, common_pb2, environment_pb2, project_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb
from svc.api.conftest import Deploy, Upload
from svc.api.testing import RecordingRestate, RunningApi, eventually, refused


def create_request(project: project_pb2.Project, **fields: object) -> pb.CreateDeploymentRequest:
    request = pb.CreateDeploymentRequest(
        project_id=project.project_id, environment_slug="production", docker_image="nginx:1.27"
    )
    for name, value in fields.items():
        if isinstance(value, pb.GitCommit | common_pb2.RuntimeSettings | build_pb2.BuildContext):
            getattr(request, name).CopyFrom(value)
        elif isinstance(value, dict):
            getattr(request, name).update(value)
        else:
            setattr(request, name, value)
    return request


async def refusal(api: RunningApi, request: pb.CreateDeploymentRequest) -> tuple[grpc.StatusCode, str, str, str]:
    """Status, code, field and message of a refused request."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.admin.deployment.CreateDeployment(request)
    return refused(caught.value)


@pytest.mark.parametrize(
    ("commit", "expected"),
    [
        (pb.GitCommit(), None),
        (
            pb.GitCommit(
                commit_sha="0a1b2c3",
                commit_message='it\'s a "quote" 🚀 and\na second line',
                author_handle="Zoë 👩\u200d💻",
                author_avatar_url="https://example.com/a.png",
                timestamp=1_000_000_000_000,
            ),
            "same",
        ),
        (pb.GitCommit(commit_message="", author_handle="", author_avatar_url=""), "same"),
        (pb.GitCommit(commit_message="x" * 10240), "same"),
        (pb.GitCommit(commit_message="x" * 10241), pb.GitCommit(commit_message="x" * 10240)),
        # cut before the family of four, never inside it
        (
            pb.GitCommit(author_handle="x" * 250 + "👩\u200d👩\u200d👧\u200d👦"),
            pb.GitCommit(author_handle="x" * 250),
        ),
        (pb.GitCommit(author_handle="🚀" * 300), pb.GitCommit(author_handle="🚀" * 256)),
    ],
)
async def test_git_commit_is_kept_as_sent(
    api: RunningApi, project: project_pb2.Project, commit: pb.GitCommit, expected: pb.GitCommit | str | None
) -> None:
    """Promise: emoji, quotes, empty and absent fields come back as sent; long ones are cut between characters."""
    answer = await api.admin.deployment.CreateDeployment(create_request(project, git_commit=commit))
    read = await api.admin.deployment.GetDeployment(
        pb.GetDeploymentRequest(deployment_id=answer.deployment.deployment_id)
    )
    assert read.deployment == answer.deployment
    if expected is None:
        assert not read.deployment.HasField("git_commit")
    else:
        assert read.deployment.git_commit == (commit if expected == "same" else expected)


@pytest.mark.parametrize(
    ("timestamp_ms", "is_taken"),
    [(999_999_999_999, False), (1_000_000_000_000, True), (0, False), (-1, False), ("ahead", True), ("far", False)],
)
async def test_timestamp_bounds(
    api: RunningApi, project: project_pb2.Project, timestamp_ms: int | str, is_taken: bool
) -> None:
    """Promise: seconds sent by mistake and times over an hour ahead are refused naming git_commit.timestamp."""
    match timestamp_ms:
        case "ahead":
            timestamp_ms = now_ms() + 3_590_000
        case "far":
            timestamp_ms = now_ms() + 3_700_000
    request = create_request(project, git_commit=pb.GitCommit(timestamp=int(timestamp_ms)))
    if is_taken:
        answer = await api.admin.deployment.CreateDeployment(request)
        assert answer.deployment.git_commit.timestamp == timestamp_ms
    else:
        status, code, field, message = await refusal(api, request)
        assert (status, code, field) == (
            grpc.StatusCode.INVALID_ARGUMENT, "invalid_argument", "git_commit.timestamp",
        )  # fmt: skip
        assert str(timestamp_ms) in message


@pytest.mark.parametrize("keyspace_id", [None, "", "ks_1"])
async def test_absent_is_not_empty(api: RunningApi, project: project_pb2.Project, keyspace_id: str | None) -> None:
    """Promise: an absent optional field stays absent, an empty one empty."""
    request = create_request(project)
    if keyspace_id is not None:
        request.keyspace_id = keyspace_id
    made = (await api.admin.deployment.CreateDeployment(request)).deployment
    assert made.HasField("keyspace_id") is (keyspace_id is not None)
    assert made.keyspace_id == (keyspace_id or "")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"project_id": ""}, "project_id"),
        ({"project_id": "proj_x"}, "project_id"),
        ({"environment_slug": "UP"}, "environment_slug"),
        ({"branch": "x" * 256}, "branch"),
        ({"branch": "a\nb"}, "branch"),
        ({"docker_image": "Nginx"}, "docker_image"),
        ({"docker_image": "engine:sha256:" + "0" * 64}, "docker_image"),
        ({"docker_image": "sha256:" + "0" * 64}, "docker_image"),
        ({"docker_image": "x" * 513}, "docker_image"),
        ({"docker_image": ""}, "docker_image"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "x" * 129}, "idempotency_key"),
        ({"git_commit": pb.GitCommit(commit_sha="")}, "git_commit.commit_sha"),
        ({"git_commit": pb.GitCommit(commit_sha="XYZ1234")}, "git_commit.commit_sha"),
        ({"git_commit": pb.GitCommit(author_avatar_url="javascript:alert(1)")}, "git_commit.author_avatar_url"),
        ({"git_commit": pb.GitCommit(commit_message="a\0b")}, "git_commit.commit_message"),
        ({"settings": common_pb2.RuntimeSettings(cpu_millicores=49)}, "settings.cpu_millicores"),
        ({"settings": common_pb2.RuntimeSettings(memory_mib=262145)}, "settings.memory_mib"),
        ({"settings": common_pb2.RuntimeSettings(disk_mib=15)}, "settings.disk_mib"),
        ({"settings": common_pb2.RuntimeSettings(disk_mib=1048577)}, "settings.disk_mib"),
        ({"settings": common_pb2.RuntimeSettings(replicas=0)}, "settings.replicas"),
        ({"settings": common_pb2.RuntimeSettings(port=65536)}, "settings.port"),
        ({"settings": common_pb2.RuntimeSettings(protocol=0)}, "settings.protocol"),  # type: ignore[arg-type]
        ({"settings": common_pb2.RuntimeSettings(protocol=9)}, "settings.protocol"),  # type: ignore[arg-type]
        (
            {"settings": common_pb2.RuntimeSettings(health_check=common_pb2.HealthCheck(path="x"))},
            "settings.health_check.path",
        ),
        (
            {"settings": common_pb2.RuntimeSettings(health_check=common_pb2.HealthCheck(interval_ms=99))},
            "settings.health_check.interval_ms",
        ),
        (
            {"settings": common_pb2.RuntimeSettings(command=common_pb2.StringList(values=["x"] * 65))},
            "settings.command.values",
        ),
        ({"build_context": build_pb2.BuildContext()}, "build_context.build_context_path"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_refusals_name_the_field(
    api: RunningApi, project: project_pb2.Project, fields: dict[str, object], field: str
) -> None:
    """Promise: what is refused names the field, and nothing is written."""
    status, _, named, message = await refusal(api, create_request(project, **fields))
    assert (status, named) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert message.startswith(field)
    assert await api.db.read(lambda c: c.execute(select(func.count()).select_from(deployments)).scalar_one()) == 0


async def test_unknown_things_are_not_found(api: RunningApi, project: project_pb2.Project) -> None:
    """Promise: an unknown project or environment is NotFound and says what there is."""
    other = "proj_" + "0" * 26
    status, code, _, _ = await refusal(api, create_request(project, project_id=other))
    assert (status, code) == (grpc.StatusCode.NOT_FOUND, "project.not_found")
    status, code, field, message = await refusal(api, create_request(project, environment_slug="staging"))
    assert (status, code, field) == (grpc.StatusCode.NOT_FOUND, "environment.not_found", "environment_slug")
    assert "production, preview" in message


async def test_context_must_be_uploaded_and_ours(api: RunningApi, project: project_pb2.Project, upload: Upload) -> None:
    """Promise: a context never uploaded, of another project, or with a strange path is refused."""
    other = (await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="other"))).project
    foreign = await upload(other.project_id)
    for path, code in (
        (foreign, "context.foreign"),
        (foreign.replace(other.project_id, project.project_id), "context.not_found"),
        (f"contexts/{project.project_id}/../x.tar.gz", "context.path_invalid"),
        ("/etc/passwd", "context.path_invalid"),
    ):
        context = build_pb2.BuildContext(build_context_path=path)
        _, found, field, _ = await refusal(api, create_request(project, build_context=context))
        assert (found, field) == (code, "build_context.build_context_path"), path


@pytest.mark.parametrize("path", ["", "/Dockerfile", "../Dockerfile", "a/../../b", "a\\b", ".", "sub/", "a\0b"])
async def test_dockerfile_stays_in_the_context(
    api: RunningApi, project: project_pb2.Project, upload: Upload, path: str
) -> None:
    """Promise: a Dockerfile path that leaves the context, or names no file, is refused."""
    context = build_pb2.BuildContext(build_context_path=await upload(project.project_id), dockerfile_path=path)
    _, _, field, _ = await refusal(api, create_request(project, build_context=context))
    assert field == "build_context.dockerfile_path"


async def test_build_is_recorded_with_sealed_secrets(
    api: RunningApi, project: project_pb2.Project, upload: Upload, restate: RecordingRestate
) -> None:
    """Promise: build and deployment are one intent; secrets lie sealed; only ids reach Restate."""
    context = build_pb2.BuildContext(
        build_context_path=await upload(project.project_id),
        dockerfile_path="./sub//Dockerfile.prod",
        build_args={"A": "1"},
        secrets=[build_pb2.BuildSecret(id="npm", value=b"hunter2-secret")],
        target="web",
        platform="linux/amd64",
    )
    made = (await api.admin.deployment.CreateDeployment(create_request(project, build_context=context))).deployment
    assert made.source == pb.DEPLOYMENT_SOURCE_UPLOAD
    assert made.status == pb.DEPLOYMENT_STATUS_PENDING
    assert [step.name for step in made.steps] == ["queued"]

    def read(connection: Connection) -> tuple[object, bytes, bytes]:
        build = connection.execute(select(builds)).one()
        secret = connection.execute(select(build_secrets)).one()
        opened = api.vault.open(secret.data_key, secret.sealed, AssociatedData.build_secret(build.id, "npm"))
        return (build.id, build.dockerfile_path, build.target, build.platform), secret.sealed, opened

    shape, sealed, opened = await api.db.read(read)
    assert shape == (made.build_id, "sub/Dockerfile.prod", "web", "linux/amd64")
    assert b"hunter2" not in sealed
    assert opened == b"hunter2-secret"
    await eventually(lambda: restate.count("Deploy", "run", made.deployment_id) == 1, "dispatched")
    assert all(b"hunter2" not in sent.body for sent in restate.sent)


async def test_snapshot_of_settings_and_variables(api: RunningApi, project: project_pb2.Project) -> None:
    """Promise: a deployment keeps the environment's settings and variables of its creation, its own on top."""
    environment = (
        await api.admin.environment.GetEnvironment(
            environment_pb2.GetEnvironmentRequest(
                by_slug=environment_pb2.EnvironmentSlug(project_id=project.project_id, slug="production")
            )
        )
    ).environment
    update = environment_pb2.UpdateEnvironmentRequest(
        environment_id=environment.environment_id,
        settings=common_pb2.RuntimeSettings(
            memory_mib=256,
            command=common_pb2.StringList(values=["serve", ""]),
            health_check=common_pb2.HealthCheck(path="/up", interval_ms=500),
        ),
        set_variables={"TOKEN": 'sëcret "x"'},
    )
    updated = (await api.admin.environment.UpdateEnvironment(update)).environment
    assert list(updated.variable_names) == ["TOKEN"]
    made = (
        await api.admin.deployment.CreateDeployment(
            create_request(
                project,
                settings=common_pb2.RuntimeSettings(
                    port=3000, command=common_pb2.StringList(), health_check=common_pb2.HealthCheck(path="")
                ),
                variables={"TOKEN": "a default", "LEVEL": "debug"},
            )
        )
    ).deployment
    assert list(made.notices) == ["set in the environment, which wins over the deployment's own: TOKEN"]
    assert (made.settings.memory_mib, made.settings.port, made.settings.cpu_millicores) == (256, 3000, 1000)
    assert not made.settings.HasField("command")
    assert (made.settings.health_check.path, made.settings.health_check.interval_ms) == ("", 500)
    assert "sëcret" not in str(made)

    def sealed(connection: Connection) -> tuple[bytes, bytes]:
        row = connection.execute(select(deployments)).one()
        from pkg.environments import queries

        found = queries.get(connection, row.environment_id)
        assert found is not None
        return found.data_key, row.variables_sealed

    data_key, snapshot = await api.db.read(sealed)
    kept = json.loads(api.vault.open(data_key, snapshot, AssociatedData.deployment_variables(made.deployment_id)))
    assert kept == {"TOKEN": 'sëcret "x"', "LEVEL": "debug"}


@pytest.mark.parametrize(
    "variables",
    [{"1A": "x"}, {"PORT": "80"}, {"A": "hunter2\0"}, {"A": "hunter2" + "x" * 32768}, {f"A{n}": "" for n in range(257)},
     {f"A{n}": "x" * 32768 for n in range(33)}],
)  # fmt: skip
async def test_variables_that_can_not_be(
    api: RunningApi, project: project_pb2.Project, variables: dict[str, str]
) -> None:
    """Promise: a deployment's own variables are held to the rules of an environment's; a value is not repeated."""
    status, _, field, message = await refusal(api, create_request(project, variables=variables))
    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert field.startswith("variables")
    assert "hunter2" not in message


async def test_same_key_same_deployment(
    api: RunningApi, project: project_pb2.Project, restate: RecordingRestate
) -> None:
    """Promise: a repeated request makes one deployment, and the answer says so; another one with its key is refused."""
    request = create_request(project, idempotency_key="k1")
    made = await api.admin.deployment.CreateDeployment(request)
    again = await api.admin.deployment.CreateDeployment(request)
    first = made.deployment
    assert again.deployment.deployment_id == first.deployment_id
    assert (made.already_recorded, again.already_recorded) == (False, True)
    status, code, field, message = await refusal(api, create_request(project, idempotency_key="k1", branch="other"))
    assert (status, code, field) == (grpc.StatusCode.ALREADY_EXISTS, "idempotency.mismatch", "idempotency_key")
    assert first.deployment_id in message
    # an absent and an empty field are different payloads
    request.keyspace_id = ""
    assert (await refusal(api, request))[1] == "idempotency.mismatch"
    await eventually(lambda: restate.count("Deploy", "run", first.deployment_id) == 1, "dispatched once")
    assert await api.db.read(lambda c: c.execute(select(func.count()).select_from(dispatches)).scalar_one()) == 1


async def test_the_key_of_a_request_that_an_older_version_recorded(
    api: RunningApi, project: project_pb2.Project
) -> None:
    """Promise: a request that is repeated after an upgrade is not refused: older payload hashes, made with another
    key, count as the same payload."""
    request = create_request(project, idempotency_key="k1")
    made = await api.admin.deployment.CreateDeployment(request)
    await api.db.write(lambda c: c.execute(update(idempotency_keys).values(payload_sha256="0" * 64)))
    again = await api.admin.deployment.CreateDeployment(request)
    assert (again.deployment.deployment_id, again.already_recorded) == (made.deployment.deployment_id, True)


async def test_same_key_same_tree(api: RunningApi, project: project_pb2.Project, upload: Upload) -> None:
    """Promise: a new checkout of the same tree, whose archive has other dates, is the same content to a key."""

    async def create(tree: str | None, content: bytes) -> pb.CreateDeploymentResponse:
        path = await upload(project.project_id, content)
        context = build_pb2.BuildContext(build_context_path=path, tree_sha256=tree)
        request = create_request(project, idempotency_key="k1", build_context=context)
        answer: pb.CreateDeploymentResponse = await api.admin.deployment.CreateDeployment(request)
        return answer

    first = (await create("ab" * 32, b"one")).deployment
    assert (await create("ab" * 32, b"two")).deployment.deployment_id == first.deployment_id
    for tree in ("cd" * 32, None):
        with pytest.raises(grpc.aio.AioRpcError, match=r"idempotency\.mismatch|k1"):
            await create(tree, b"two")
    with pytest.raises(grpc.aio.AioRpcError, match="64 lower-case hex digits"):
        await create("AB" * 32, b"two")


async def test_newer_deployment_supersedes_pending(
    api: RunningApi, project: project_pb2.Project, deploy: Deploy, upload: Upload, restate: RecordingRestate
) -> None:
    """Promise: a newer deployment of the branch ends older pending ones with their builds, of that branch only; they
    name it.
    """
    context = build_pb2.BuildContext(build_context_path=await upload(project.project_id))
    older = (await api.admin.deployment.CreateDeployment(create_request(project, build_context=context))).deployment
    elsewhere = await deploy(branch="feature")
    newer = await deploy()
    read = {
        d.deployment_id: d
        for d in (
            await api.admin.deployment.ListDeployments(pb.ListDeploymentsRequest(project_id=project.project_id))
        ).deployments
    }
    assert read[older.deployment_id].status == pb.DEPLOYMENT_STATUS_SUPERSEDED
    assert read[elsewhere.deployment_id].status == pb.DEPLOYMENT_STATUS_PENDING
    assert read[newer.deployment_id].status == pb.DEPLOYMENT_STATUS_PENDING
    assert {i: d.superseded_by_deployment_id for i, d in read.items() if d.superseded_by_deployment_id} == {
        older.deployment_id: newer.deployment_id
    }
    build = (await api.admin.build.GetBuild(build_pb2.GetBuildRequest(build_id=older.build_id))).build
    assert build.status == build_pb2.BUILD_STATUS_CANCELLED
    await eventually(lambda: restate.count("Deploy", "stop", older.deployment_id) == 1, "its workflow is notified")


async def test_list_pages(api: RunningApi, project: project_pb2.Project, deploy: Deploy) -> None:
    """Promise: pages are newest first, complete and without repetition; a strange token is refused."""
    made = [(await deploy(branch=f"b{n}")).deployment_id for n in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = await api.admin.deployment.ListDeployments(
            pb.ListDeploymentsRequest(project_id=project.project_id, page_size=2, page_token=token)
        )
        seen += [d.deployment_id for d in page.deployments]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)
    for request, field in (
        (pb.ListDeploymentsRequest(project_id=project.project_id, page_token="%%"), "page_token"),
        (pb.ListDeploymentsRequest(project_id=project.project_id, page_size=201), "page_size"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await api.admin.deployment.ListDeployments(request)
        assert refused(caught.value)[2] == field


def test_views_cover_the_row() -> None:
    """Promise: every column of a deployment that users may see is rendered; the others are listed here."""
    from pkg.deployments.model import Deployment

    hidden = {
        "workspace_id", "image_region", "variables_sealed", "plain_variables_json", "cancel_requested_at",
        "cancel_reason", "traceparent",
        "run_state_at", "restart_generation", "deleted_at",
    }  # fmt: skip
    renamed = {
        "id": "deployment_id", "git_json": "git_commit", "settings_json": "settings", "notices_json": "notices",
        "last_output_json": "last_output", "processes_stopped": "processes",
        "error_code": "error", "error_message": "error", "error_step": "error",
    }  # fmt: skip
    shown = set(pb.Deployment.DESCRIPTOR.fields_by_name)
    for column in dataclasses.fields(Deployment):
        assert column.name in hidden or renamed.get(column.name, column.name) in shown, column.name
