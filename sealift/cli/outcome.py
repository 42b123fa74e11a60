"""The outcome of a deployment or a build: exit code, title, reason and next steps. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.enum_names import build_status_name, instance_state_name, status_name
from sealift.cli.format.text import clean, clean_block
from sealift.ctrl.v1 import build_pb2, deployment_pb2

# Error codes of a failed start whose image has no command, or one that is not a server.
COMMAND_CODES = frozenset({"instance.no_command", "instance.command_ended"})


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the work ended for which a command waited.

    Attributes:
        code: exit code.
        status: e.g. "ready", "succeeded".
        title: the outcome in a few words.
        error_code: stable error code, or "".
        reason: why it failed, or "".
        step: the failed step, or "".
        next_steps: commands or advice.
        tail: last log lines of the failed step.
        total_ms: since the start of the command.
    """

    code: ExitCode
    status: str
    title: str
    error_code: str = ""
    reason: str = ""
    step: str = ""
    next_steps: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()
    total_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Outcome(Ending):
    """The outcome of a deployment.

    Attributes:
        deployment_id: of the deployment.
        url: the main URL, or "".
        also: other URLs.
        notices: notices from the server.
        superseded_by: the deployment that superseded this one, or "".
    """

    deployment_id: str
    url: str = ""
    also: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    superseded_by: str = ""


@dataclass(frozen=True, kw_only=True)
class BuildOutcome(Ending):
    """The outcome of a build without a deployment; the last four are "" or () unless it succeeded.

    Attributes:
        build_id: of the build.
        image_name: repository and tag.
        image_ref: by digest in a registry, or by id on an engine.
        platform: e.g. "linux/amd64".
        attestations: what is attached to the image, e.g. "provenance".
    """

    build_id: str
    image_name: str = ""
    image_ref: str = ""
    platform: str = ""
    attestations: tuple[str, ...] = ()


def build_outcome_of(build: build_pb2.Build, total_ms: float, tail: list[str]) -> BuildOutcome:
    """The outcome of a build in a terminal status; `tail`: last lines of the failed step."""
    ident, status = build.build_id, build_status_name(build.status)
    if build.status == build_pb2.BUILD_STATUS_SUCCEEDED:
        return BuildOutcome(
            code=ExitCode.OK,
            build_id=ident,
            status=status,
            title="Image built",
            image_name=clean(build.image_name),
            image_ref=clean(build.image_ref),
            platform=clean(build.platform),
            attestations=tuple(clean(one) for one in build.attestations),
            next_steps=(f"sealift deploy --build {ident}",),
            total_ms=total_ms,
        )
    if build.status == build_pb2.BUILD_STATUS_FAILED:
        return BuildOutcome(
            code=ExitCode.BUILD_FAILED,
            build_id=ident,
            status=status,
            title="Build failed",
            error_code=build.error.code,
            reason=clean_block(build.error.message or "the server gave no reason"),
            step="building",
            next_steps=(f"sealift logs --build {ident}", f"sealift build show {ident}"),
            tail=tuple(tail),
            total_ms=total_ms,
        )
    title = "Cancelled" if build.status == build_pb2.BUILD_STATUS_CANCELLED else f"Ended as {status}"
    return BuildOutcome(
        code=ExitCode.STOPPED,
        build_id=ident,
        status=status,
        title=title,
        next_steps=("sealift builds",),
        total_ms=total_ms,
    )


def outcome_of(
    deployment: deployment_pb2.Deployment, total_ms: float, tail: list[str], advice: Sequence[str] = ()
) -> Outcome:
    """The outcome of a deployment in a terminal status.

    Args:
        deployment: its last state from the server.
        total_ms: since the start of the command.
        tail: last lines of the failed build step; used if the build failed.
        advice: next steps that come before the standard ones, from local files.
    """
    ident = deployment.deployment_id
    status = status_name(deployment.status)
    notices = tuple(clean(notice) for notice in deployment.notices)
    if deployment.status == deployment_pb2.DEPLOYMENT_STATUS_READY:
        urls = tuple(clean(url) for url in deployment.urls)
        title = "Live" if deployment.is_live else "Ready, not live"
        hints = () if deployment.is_live else (f"sealift promote {ident}",)
        code = ExitCode.OK if deployment.is_live else ExitCode.NOT_LIVE
        return Outcome(
            code=code,
            deployment_id=ident,
            status=status,
            title=title,
            url="".join(urls[:1]),
            also=urls[1:],
            notices=notices,
            next_steps=hints,
            total_ms=total_ms,
        )
    if deployment.status == deployment_pb2.DEPLOYMENT_STATUS_FAILED:
        return _failed(deployment, total_ms, tail, notices, advice)
    successor = clean(deployment.superseded_by_deployment_id)
    titles = {
        deployment_pb2.DEPLOYMENT_STATUS_CANCELLED: "Cancelled",
        deployment_pb2.DEPLOYMENT_STATUS_SUPERSEDED: (
            f"Superseded by {successor}, a newer deployment of the branch"
            if successor
            else "Superseded by a newer deployment of the branch"
        ),
    }
    title = titles.get(deployment.status, f"Ended as {status}")
    return Outcome(
        code=ExitCode.STOPPED,
        deployment_id=ident,
        status=status,
        title=title,
        notices=notices,
        reason=clean_block(deployment.error.message),
        error_code=deployment.error.code,
        next_steps=(f"sealift status --wait {successor}" if successor else "sealift ls",),
        total_ms=total_ms,
        superseded_by=successor,
    )


def _failed(
    deployment: deployment_pb2.Deployment,
    total_ms: float,
    tail: list[str],
    notices: tuple[str, ...],
    advice: Sequence[str],
) -> Outcome:
    error = deployment.error
    step = error.step or next((step.name for step in deployment.steps if step.error), "")
    building = step == "building" or error.code.startswith("build.")
    code = ExitCode.BUILD_FAILED if building else ExitCode.NOT_HEALTHY if step == "deploying" else ExitCode.FAILED
    hints = [f"sealift status {deployment.deployment_id}"]
    if building:
        hints.insert(0, f"sealift logs --build {deployment.deployment_id}")
    reasons = [] if building else [
        clean(f"instance {i.instance_id} is {instance_state_name(i.state)}: {i.reason}")
        for i in deployment.instances
        if i.reason and i.reason not in error.message
    ]  # fmt: skip
    return Outcome(
        code=code,
        deployment_id=deployment.deployment_id,
        status="failed",
        title="Build failed" if building else "Deployment failed",
        notices=notices,
        error_code=error.code,
        reason="\n".join([clean_block(error.message or "the server gave no reason"), *reasons]),
        step=step,
        next_steps=(*advice, *hints),
        tail=tuple(tail) if building else (),
        total_ms=total_ms,
    )
