"""What a deployment came to, in words, addresses and an exit code. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sealift.cli.enum_names import instance_state_name, status_name
from sealift.cli.exit_codes import ExitCode
from sealift.cli.text import clean, clean_block
from sealift.ctrl.v1 import deployment_pb2

# Codes of a start that failed since the image names no command, or one that is no server.
COMMAND_CODES = frozenset({"instance.no_command", "instance.command_ended"})


@dataclass(frozen=True)
class Outcome:
    """The end of a command that waited for a deployment.

    Attributes:
        code: exit code.
        deployment_id: of the deployment.
        status: e.g. "ready".
        title: the verdict in a few words.
        url: the address to open, "" when there is none.
        also: other addresses.
        notices: what the server wants to be known.
        error_code: stable code of the failure, "".
        reason: why it failed, "".
        step: the step at fault, "".
        next_steps: commands or advice.
        tail: last log lines of what failed.
        total_ms: since the command began.
        superseded_by: the deployment that took this one's place before it began, "".
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
    """The verdict on a deployment whose status is terminal.

    Args:
        deployment: as the server last told.
        total_ms: since the command began.
        tail: last lines of the build step that failed; used when the build failed.
        advice: the first next steps of a failure, from what only this machine knows.
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
            f"Superseded by {successor}, a newer one of the branch"
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
