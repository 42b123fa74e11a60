"""Rows and events to messages."""

from pkg.builds.model import Build, BuildStatus
from pkg.telemetry import BuildEvent, BuildLine
from sealift.ctrl.v1 import build_pb2 as pb
from sealift.ctrl.v1 import common_pb2

STATUSES = {
    BuildStatus.PENDING: pb.BUILD_STATUS_PENDING,
    BuildStatus.RUNNING: pb.BUILD_STATUS_RUNNING,
    BuildStatus.SUCCEEDED: pb.BUILD_STATUS_SUCCEEDED,
    BuildStatus.FAILED: pb.BUILD_STATUS_FAILED,
    BuildStatus.CANCELLED: pb.BUILD_STATUS_CANCELLED,
}


def render(build: Build, queued_reason: str = "") -> pb.Build:
    """The build. `queued_reason`: why it does not begin yet, if it waits."""
    error = None
    if build.error_code is not None:
        error = common_pb2.Problem(code=build.error_code, message=build.error_message or "", step="building")
    return pb.Build(
        build_id=build.id,
        project_id=build.project_id,
        deployment_id=build.deployment_id or "",
        status=STATUSES[build.status],
        attempt=build.attempt,
        build_context_path=build.build_context_path,
        dockerfile_path=build.dockerfile_path,
        target=build.target,
        platform=build.platform,
        image_ref=build.image_ref,
        error=error,
        created_at=build.created_at,
        started_at=build.started_at or 0,
        ended_at=build.ended_at or 0,
        image_name=build.image_name,
        attestations=build.attestations_json,
        no_cache=build.no_cache,
        queued_reason=queued_reason,
    )


def render_event(event: BuildEvent, message: pb.GetBuildLogsResponse | None = None) -> pb.GetBuildLogsResponse:
    """One line or step, in `message` if there is one already."""
    answer = pb.GetBuildLogsResponse() if message is None else message
    answer.seq, answer.attempt, answer.at = event.seq, event.attempt, event.at
    what = event.event
    if isinstance(what, BuildLine):
        answer.line.step_id = what.step_id
        answer.line.stream = pb.BuildLogStream.ValueType(what.stream)
        answer.line.text = what.text
    else:
        answer.step.step_id = what.step_id
        answer.step.name = what.name
        answer.step.state = pb.BuildStepState.ValueType(what.state)
        answer.step.started_at = what.started_at
        answer.step.ended_at = what.ended_at
        answer.step.error = what.error
    return answer
