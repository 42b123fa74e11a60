"""The outcome of a deployment: exit code, title, URLs, reason and next steps. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sealift.cli.enum_names import instance_state_name, status_name
from sealift.cli.exit_codes import ExitCode
from sealift.cli.text import clean, clean_block
from sealift.ctrl.v1 import deployment_pb2

# Error codes of a failed start whose image has no command, or one that is not a server.
COMMAND_CODES = frozenset({"instance.no_command", "instance.command_ended"})


@dataclass(frozen=True)
class Outcome:
    """The outcome that a command prints after it waited for a deployment.

    Attributes:
        code: exit code.
        deployment_id: of the deployment.
        status: e.g. "ready".
        title: the outcome in a few words.
        url: the main URL, or "".
        also: other URLs.
        notices: notices from the server.
        error_code: stable error code, or "".
        reason: why it failed, or "".
        step: the failed step, or "".
        next_steps: commands or advice.
        tail: last log lines of the failed step.
        total_ms: since the start of the command.
        superseded_by: the deployment that superseded this one, or "".
    """

    code: ExitCode
    deployment_id: str
    status: str
    title: str
    url: str = ""
    also: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    error_code: str = ""
    reason: str = ""
    step: str = ""
    next_steps: tuple[str, ...] = ()
    tail: tuple[str, ...] = field(default=())
    total_ms: float = 0.0
    superseded_by: str = ""


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
            code, ident, status, title, "".join(urls[:1]), urls[1:], notices, next_steps=hints, total_ms=total_ms
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
        ExitCode.STOPPED,
        ident,
        status,
        title,
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
        code,
        deployment.deployment_id,
        "failed",
        "Build failed" if building else "Deployment failed",
        notices=notices,
        error_code=error.code,
        reason="\n".join([clean_block(error.message or "the server gave no reason"), *reasons]),
        step=step,
        next_steps=(*advice, *hints),
        tail=tuple(tail) if building else (),
        total_ms=total_ms,
    )
