"""Views and rows to messages."""

from pkg.config.sections import Ingress
from pkg.deployments.model import Deployment
from pkg.deployments.settings import from_json
from pkg.deployments.status import RunState, Source, Status
from pkg.regions.health import InstanceState
from pkg.regions.queries import InstanceRow
from pkg.regions.silence import Silence
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb
from svc.api.requests import settings
from svc.api.services.deployments.views import View

STATUSES = {
    Status.PENDING: pb.DEPLOYMENT_STATUS_PENDING,
    Status.BUILDING: pb.DEPLOYMENT_STATUS_BUILDING,
    Status.DEPLOYING: pb.DEPLOYMENT_STATUS_DEPLOYING,
    Status.NETWORK: pb.DEPLOYMENT_STATUS_NETWORK,
    Status.READY: pb.DEPLOYMENT_STATUS_READY,
    Status.FAILED: pb.DEPLOYMENT_STATUS_FAILED,
    Status.CANCELLED: pb.DEPLOYMENT_STATUS_CANCELLED,
    Status.SUPERSEDED: pb.DEPLOYMENT_STATUS_SUPERSEDED,
}
RUN_STATES = {
    RunState.NONE: pb.RUN_STATE_NONE,
    RunState.STARTING: pb.RUN_STATE_STARTING,
    RunState.RUNNING: pb.RUN_STATE_RUNNING,
    RunState.STANDBY: pb.RUN_STATE_STANDBY,
    RunState.STOPPING: pb.RUN_STATE_STOPPING,
    RunState.STOPPED: pb.RUN_STATE_STOPPED,
}
SOURCES = {
    Source.UPLOAD: pb.DEPLOYMENT_SOURCE_UPLOAD,
    Source.IMAGE: pb.DEPLOYMENT_SOURCE_IMAGE,
    Source.BUILD: pb.DEPLOYMENT_SOURCE_BUILD,
}
INSTANCE_STATES = {
    InstanceState.STARTING: pb.INSTANCE_STATE_STARTING,
    InstanceState.HEALTHY: pb.INSTANCE_STATE_HEALTHY,
    InstanceState.UNHEALTHY: pb.INSTANCE_STATE_UNHEALTHY,
    InstanceState.FAILED: pb.INSTANCE_STATE_FAILED,
    InstanceState.STOPPED: pb.INSTANCE_STATE_STOPPED,
}


def render(view: View, ingress: Ingress) -> pb.Deployment:
    """The whole deployment."""
    row = view.deployment
    snapshot = from_json(row.settings_json)
    scaled = snapshot.scaled(view.scaled_to, view.processes_scaled_to)
    error = None
    if row.error_code is not None:
        error = common_pb2.Problem(code=row.error_code, message=row.error_message or "", step=row.error_step or "")
    return pb.Deployment(
        deployment_id=row.id,
        project_id=row.project_id,
        environment_id=row.environment_id,
        environment_slug=view.environment_slug,
        branch=row.branch,
        keyspace_id=row.keyspace_id,
        status=STATUSES[row.status],
        run_state=RUN_STATES[row.run_state],
        source=SOURCES[row.source],
        git_commit=_git(row),
        build_id=row.build_id or "",
        docker_image=row.docker_image,
        image_ref=row.image_ref,
        settings=settings.render(snapshot),
        steps=[
            pb.DeploymentStep(name=s.name, started_at=s.started_at, ended_at=s.ended_at or 0, error=s.error or "")
            for s in view.steps
        ],
        error=error,
        hostnames=[r.hostname for r in view.routes],
        urls=[ingress.url(r.hostname) for r in view.routes],
        instances=[_instance(i, view.silences.get(i.region)) for i in view.instances],
        notices=[*row.notices_json, *scaling_notices(view)],
        is_live=view.is_live,
        seq=row.seq,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at or 0,
        queued_reason=view.queued_reason,
        superseded_by_deployment_id=view.superseded_by,
        port=snapshot.port or view.adopted_port,
        port_is_adopted=snapshot.port is None and view.adopted_port > 0,
        last_output=row.last_output_json,
        replicas=scaled.replicas,
        processes=[
            pb.ProcessState(
                name=one.name,
                replicas=0 if row.processes_stopped else one.replicas,
                is_stopped=row.processes_stopped,
            )
            for one in scaled.processes
        ],
        deletion_id=row.deletion_id or "",
    )


def scaling_notices(view: View) -> list[str]:
    """Where and why the number of instances does not follow the load now; one line for each region."""
    said = {one.region: one.scaling_notice for one in view.instances if one.scaling_notice}
    return [f"region {region}: {text}" for region, text in sorted(said.items())]


def _git(row: Deployment) -> pb.GitCommit | None:
    git = row.git_json
    if not git:
        return None
    return pb.GitCommit(
        commit_sha=git.get("commit_sha"),
        commit_message=git.get("commit_message"),
        author_handle=git.get("author_handle"),
        author_avatar_url=git.get("author_avatar_url"),
        timestamp=git.get("timestamp"),
    )


def _instance(row: InstanceRow, silence: Silence | None) -> pb.Instance:
    silence_pb = None
    if silence is not None:
        silence_pb = pb.RegionSilence(since=silence.since, reason=silence.reason, is_probed=silence.is_probed)
    return pb.Instance(
        silence=silence_pb,
        instance_id=row.instance_id,
        region=row.region,
        replica=row.replica,
        process=row.process,
        state=INSTANCE_STATES[InstanceState(row.state)],
        reason=row.reason,
        observed_at=row.observed_at,
        started_at=row.started_at,
        restarts=row.restarts,
        port_notice=row.port_notice,
        last_exit=None if row.last_exit_json is None else pb.InstanceExit(**row.last_exit_json),
    )
