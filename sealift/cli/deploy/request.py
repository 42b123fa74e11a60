"""Builds the requests of a plan. Pure. Optional fields are set only if they have a value."""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import UNSET

from sealift.cli.deploy.plan import DEFAULT_BRANCH, Plan
from sealift.cli.format.protocol_text import PROTOCOLS
from sealift.cli.project.project_file import ProcessSection, ReleaseSection, RunSection
from sealift.client.client import new_idempotency_key
from sealift.client.context import DEFAULT_DOCKERFILE
from sealift.client.git import GitInfo
from sealift.ctrl.v1 import build_pb2, common_pb2, deployment_pb2


@dataclass(frozen=True)
class StoredContext:
    """A build context in the object store.

    Attributes:
        path: the server's build_context_path.
        tree_sha256: of the tree without its modification times, see `digests.tree_sha256`.
        dockerfile: relative to the context.
    """

    path: str
    tree_sha256: str
    dockerfile: str = DEFAULT_DOCKERFILE


def create_request(plan: Plan, project_id: str, stored: StoredContext | None) -> deployment_pb2.CreateDeploymentRequest:
    """The CreateDeployment of a plan.

    Args:
        plan: the plan.
        project_id: id of the plan's project.
        stored: the uploaded context; None for an image that exists.
    """
    request = deployment_pb2.CreateDeploymentRequest(
        project_id=project_id,
        environment_slug=plan.environment,
        branch=plan.branch or DEFAULT_BRANCH,
        idempotency_key=plan.idempotency_key or new_idempotency_key(),
        variables=plan.variables,
    )
    if stored is not None:
        request.build_context.CopyFrom(_build_context(plan, stored))
    elif plan.build_id:
        request.build_id = plan.build_id
    else:
        request.docker_image = plan.image or ""
    commit = git_commit(plan.git, plan.author_avatar_url)
    if commit.ByteSize():
        request.git_commit.CopyFrom(commit)
    settings = runtime_settings(plan.run)
    _add_release(settings, plan.release)
    if plan.processes is not None:
        settings.processes.CopyFrom(processes_message(plan.processes))
    if settings.ByteSize():
        request.settings.CopyFrom(settings)
    return request


def build_request(plan: Plan, project_id: str, stored: StoredContext) -> build_pb2.CreateBuildRequest:
    """The CreateBuild of a plan."""
    return build_pb2.CreateBuildRequest(
        project_id=project_id,
        build_context=_build_context(plan, stored),
        idempotency_key=plan.idempotency_key or new_idempotency_key(),
    )


def _build_context(plan: Plan, stored: StoredContext) -> build_pb2.BuildContext:
    context = build_pb2.BuildContext(
        build_context_path=stored.path,
        tree_sha256=stored.tree_sha256,
        build_args=plan.build_args,
        no_cache=plan.no_cache,
    )
    if stored.dockerfile != DEFAULT_DOCKERFILE:
        context.dockerfile_path = stored.dockerfile
    if plan.target:
        context.target = plan.target
    if plan.platform:
        context.platform = plan.platform
    for ident, value in sorted(plan.secrets.items()):
        context.secrets.add(id=ident, value=value)
    return context


def git_commit(git: GitInfo, author_avatar_url: str = "") -> deployment_pb2.GitCommit:
    """The known facts of the commit."""
    commit = deployment_pb2.GitCommit()
    if git.commit_sha:
        commit.commit_sha = git.commit_sha
    if git.message:
        commit.commit_message = git.message
    if git.author:
        commit.author_handle = git.author
    if author_avatar_url:
        commit.author_avatar_url = author_avatar_url
    if git.timestamp_ms:
        commit.timestamp = git.timestamp_ms
    return commit


def _add_release(settings: common_pb2.RuntimeSettings, release: ReleaseSection) -> None:
    if (words := release.words()) is not None:
        settings.release_command.CopyFrom(common_pb2.StringList(values=words))
    if isinstance(release.timeout_s, int):
        settings.release_timeout_s = release.timeout_s


def runtime_settings(run: RunSection) -> common_pb2.RuntimeSettings:
    """The settings of [run] in the file."""
    settings = common_pb2.RuntimeSettings()
    if run.port is not UNSET:
        settings.port = run.port
    if run.protocol is not UNSET:
        settings.protocol = PROTOCOLS[run.protocol]
    if run.memory_mib is not UNSET:
        settings.memory_mib = run.memory_mib
    if run.disk_mib is not UNSET:
        settings.disk_mib = run.disk_mib
    if run.cpu_millicores is not UNSET:
        settings.cpu_millicores = run.cpu_millicores
    if run.replicas is not UNSET:
        settings.replicas = run.replicas
    if run.min_replicas is not UNSET:
        settings.min_replicas = run.min_replicas
    if run.max_replicas is not UNSET:
        settings.max_replicas = run.max_replicas
    if run.target_cpu_percent is not UNSET:
        settings.target_cpu_percent = run.target_cpu_percent
    if run.command is not UNSET:
        settings.command.CopyFrom(common_pb2.StringList(values=run.command))
    if run.health_check is not UNSET:
        check = run.health_check
        settings.health_check.CopyFrom(
            common_pb2.HealthCheck(
                path=check.path,
                interval_ms=check.interval_ms or 0,
                timeout_ms=check.timeout_ms or 0,
                start_timeout_s=check.start_timeout_s or 0,
            )
        )
    return settings


def processes_message(processes: Mapping[str, ProcessSection]) -> common_pb2.Processes:
    """The processes beside web."""
    return common_pb2.Processes(
        values=[
            common_pb2.Process(
                name=name,
                command=common_pb2.StringList(values=one.command),
                replicas=None if one.replicas is UNSET else one.replicas,
                cpu_millicores=None if one.cpu_millicores is UNSET else one.cpu_millicores,
                memory_mib=None if one.memory_mib is UNSET else one.memory_mib,
                disk_mib=None if one.disk_mib is UNSET else one.disk_mib,
            )
            for name, one in sorted(processes.items())
        ]
    )
