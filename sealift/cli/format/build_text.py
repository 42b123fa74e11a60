"""Formats a build for people: its facts, its steps, its image. Pure."""

from collections.abc import Iterable, Sequence

from sealift.cli.format.build_log import is_plumbing
from sealift.cli.format.deployment_text import fact_row
from sealift.cli.format.enum_names import build_status_name, build_step_state_name
from sealift.cli.format.image_text import attestation_rows, image_rows
from sealift.cli.format.tables import columns, cut_middle
from sealift.cli.format.text import ago, clean, clean_block, seconds
from sealift.ctrl.v1 import build_pb2

LABEL_WIDTH = 12
MAX_NAME_COLUMNS = 72  # of a step, where the width is not known
MIN_NAME_COLUMNS = 20


def last_steps(events: Iterable[build_pb2.GetBuildLogsResponse]) -> list[build_pb2.BuildStep]:
    """The steps of the newest attempt, each as it is now, in the order in which they ended; running ones are last."""
    steps: dict[str, build_pb2.BuildStep] = {}
    newest = 0
    for event in events:
        if event.WhichOneof("event") != "step":
            continue
        if event.attempt > newest:
            newest = event.attempt
            steps.clear()
        if event.attempt == newest:
            before = steps.get(event.step.step_id)
            # BuildKit reports a completed step again as cached when another step uses it
            if before is None or before.state != build_pb2.BUILD_STEP_STATE_COMPLETED:
                steps.pop(event.step.step_id, None)
                steps[event.step.step_id] = event.step
    return sorted(steps.values(), key=lambda step: step.state == build_pb2.BUILD_STEP_STATE_STARTED)


def build_text(build: build_pb2.Build, steps: Sequence[build_pb2.BuildStep], width: int | None = None) -> str:
    """A build as text; with `width`, to that many columns."""
    rows = [
        ("build", build.build_id),
        ("status", build_status_name(build.status)),
        ("deployment", build.deployment_id),
        ("created", f"{ago(build.created_at)} ago"),
        ("queued", _queued(build)),
        ("took", seconds(build.ended_at - build.started_at) if build.started_at and build.ended_at else ""),
        ("attempts", str(build.attempt) if build.attempt > 1 else ""),
        ("dockerfile", clean(build.dockerfile_path)),
        ("target", clean(build.target)),
        ("cache", "not used (--no-cache)" if build.no_cache else ""),
    ]
    if build.status == build_pb2.BUILD_STATUS_SUCCEEDED:
        facts = image_rows(build.image_name, build.image_ref, build.platform) + attestation_rows(build.attestations)
        rows += [(label.lower(), clean(value)) for label, value in facts]
    else:
        rows.append(("platform", clean(build.platform)))
    shown = [step for step in steps if not is_plumbing(step.name, build_step_state_name(step.state), _took_ms(step))]
    room = max(MIN_NAME_COLUMNS, (width - LABEL_WIDTH - 16)) if width else MAX_NAME_COLUMNS
    names = [cut_middle(clean(step.name), room) for step in shown]
    place = max(map(columns, names), default=0)
    rows += [
        ("step", f"{name}{' ' * (place - columns(name))}  {_step_end(step)}")
        for name, step in zip(names, shown, strict=True)
    ]
    if build.ended_at and build.started_at and not steps:
        rows.append(("steps", "none stored: steps and logs are kept for 30 days"))
    if build.error.message:
        rows.append(("error", f"{clean_block(build.error.message)} [{build.error.code}]"))
    return "\n".join(fact_row(name, value, None if name == "step" else width) for name, value in rows if value)


def _queued(build: build_pb2.Build) -> str:
    """How long it waited, or why it waits."""
    if build.queued_reason:
        return clean(build.queued_reason)
    if build.started_at:
        return f"for {seconds(build.started_at - build.created_at)}"
    return ""


def _took_ms(step: build_pb2.BuildStep) -> int:
    return max(0, step.ended_at - step.started_at) if step.started_at and step.ended_at else 0


def _step_end(step: build_pb2.BuildStep) -> str:
    """How a step ended: its duration, or "cached", "failed 1.2 s", "running"."""
    state = build_step_state_name(step.state)
    if state == "completed":
        return seconds(_took_ms(step))
    if state == "started":
        return "running"
    return f"{state}  {seconds(_took_ms(step))}" if state == "failed" else state
