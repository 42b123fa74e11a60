"""Formats a deployment for people: its facts, and the stored output of its app. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from sealift.cli.format.enum_names import instance_state_name, run_state_name, status_name
from sealift.cli.format.image_text import short_image
from sealift.cli.format.protocol_text import protocol_text
from sealift.cli.format.text import ago, clean, clean_block, seconds, wrapped
from sealift.cli.format.timeline import active_label
from sealift.ctrl.v1 import common_pb2, deployment_pb2

LABEL_WIDTH = 12
SHOWN_LINES = 5
STEP_WIDTH = 16


def deployment_text(found: deployment_pb2.Deployment, width: int | None = None, traffic: str = "") -> str:
    """A deployment as text, with what is known of its traffic; with `width`, wrapped to that many columns."""
    rows = [
        ("deployment", found.deployment_id),
        ("status", _status_text(found)),
        *(("url", clean(url)) for url in found.urls),
        ("environment", found.environment_slug),
        ("branch", clean(found.branch)),
        ("commit", clean(f"{found.git_commit.commit_sha[:12]} {found.git_commit.commit_message}".strip())),
        ("image", found.docker_image or short_image(found.image_ref)),
        ("build", found.build_id),
        ("created", f"{ago(found.created_at)} ago"),
    ]
    rows += [("traffic", traffic), ("port", port_text(found)), ("protocol", _protocol(found))]
    rows += [("replicas", _scaled_text(found))]
    rows += [("process", line) for line in processes_text(found)]
    for step in found.steps:
        took = seconds(step.ended_at - step.started_at) if step.ended_at else "running" if step.started_at else "-"
        error = "failed" if step.error and step.error in found.error.message else clean(step.error)  # shown below
        rows.append(("step", f"{active_label(step.name):<{STEP_WIDTH}}{took}{'  ' + error if error else ''}"))
    for instance in found.instances:
        parts = [f"{instance_label(instance)} {state_text(instance)}"]
        if instance.restarts:
            parts.append("1 restart" if instance.restarts == 1 else f"{instance.restarts} restarts")
        if instance.reason and instance.reason.rstrip(".") not in found.error.message:
            parts.append(clean(instance.reason))
        if instance.port_notice and instance.port_notice not in instance.reason:
            parts.append(clean(instance.port_notice))
        rows.append(("instance", "  ".join(parts)))
        if instance.HasField("last_exit"):
            lines = [clean(line) for line in instance.last_exit.output]
            more = [f"… all {len(lines)} lines: sealift logs {found.deployment_id}"] if len(lines) > SHOWN_LINES else []
            rows.append(("last exit", "\n".join([exit_text(instance), *lines[-SHOWN_LINES:], *more])))
    rows += [("queued", clean(found.queued_reason))]
    rows += [("notice", clean(notice)) for notice in found.notices]
    if found.error.message:
        rows.append(("error", f"{clean_block(found.error.message)} [{found.error.code}]"))
    return "\n".join(fact_row(name, value, width) for name, value in rows if value)


def instance_label(instance: deployment_pb2.Instance) -> str:
    """Where it runs and its number, e.g. "local/0", or "local/worker/0" of a process."""
    process = f"{clean(instance.process)}/" if instance.process else ""
    return f"{instance.region}/{process}{instance.replica}"


def processes_text(found: deployment_pb2.Deployment) -> list[str]:
    """A line for each process: how many instances are healthy in each region, and how many are wanted."""
    lines = []
    for process in found.processes:
        if process.is_stopped:
            lines.append(f"{clean(process.name)}: stopped, since the deployment is not live")
            continue
        if counts := _counts_text(found, process.name, str(process.replicas)):
            lines.append(f"{clean(process.name)}: {counts}")
    return lines


def state_text(instance: deployment_pb2.Instance) -> str:
    """The state; if its region is silent, the last known state, its age and the reason."""
    state = instance_state_name(instance.state)
    if not instance.HasField("silence"):
        return state
    silence = instance.silence
    seen = f"last seen {ago(silence.since)} ago: {clean(silence.reason)}" if silence.since else clean(silence.reason)
    return f"{state} according to probes  {seen}" if silence.is_probed else f"unknown, was {state}  {seen}"


def port_text(found: deployment_pb2.Deployment) -> str:
    """The port in use, and whether it was adopted; "" while unknown."""
    if not found.port:
        return ""
    return f"{found.port}, adopted: the port on which the app listens" if found.port_is_adopted else str(found.port)


def replicas_text(settings: common_pb2.RuntimeSettings) -> str:
    """How many instances each region runs, e.g. "2", or "2 to 8 at 80% CPU"."""
    if not settings.HasField("max_replicas"):
        return str(settings.replicas)
    return f"{settings.min_replicas} to {settings.max_replicas} at {settings.target_cpu_percent}% CPU"


def _protocol(found: deployment_pb2.Deployment) -> str:
    """What the app speaks; "" for HTTP/1.1, which nearly all do."""
    spoken = protocol_text(found.settings)
    return "" if spoken == "http1" else f"{spoken}, HTTP/2 without TLS"


def _scaled_text(found: deployment_pb2.Deployment) -> str:
    """The bounds, and the number of instances in each region now; "" for the number of the settings."""
    if not found.settings.HasField("max_replicas"):
        is_scaled = found.replicas not in (0, found.settings.replicas)
        return f"{found.replicas}, as the environment was scaled" if is_scaled else ""
    now = Counter(
        i.region for i in found.instances if i.state != deployment_pb2.INSTANCE_STATE_STOPPED and not i.process
    )
    return "; ".join(
        [replicas_text(found.settings), *(f"{region}: {count} now" for region, count in sorted(now.items()))]
    )


def instance_rows(
    found: deployment_pb2.Deployment,
    instances: Sequence[deployment_pb2.Instance],
    used: Mapping[tuple[str, str], tuple[str, str]],
) -> list[tuple[str, ...]]:
    """Instances as rows of a table.

    Name, process, region, state, age, restarts, CPU, memory, deployment, live or not, reason. `used`: CPU and memory by
    deployment and name.
    """
    return [
        (
            seen.instance_id,
            clean(seen.process) or "web",
            seen.region,
            instance_state_name(seen.state) if not seen.HasField("silence") else "unknown",
            ago(seen.started_at),
            str(seen.restarts),
            *used.get((found.deployment_id, seen.instance_id), ("-", "-")),
            found.deployment_id,
            "live" if found.is_live else "",
            clean(seen.silence.reason if seen.HasField("silence") else seen.reason),
        )
        for seen in instances
    ]


def replicas_now_text(found: deployment_pb2.Deployment) -> str:
    """How many instances are healthy in each region, and how many are wanted, e.g. "local: 2 healthy, 3 wanted"."""
    wanted = replicas_text(found.settings) if found.settings.HasField("max_replicas") else str(found.replicas)
    return _counts_text(found, "", wanted)


def _counts_text(found: deployment_pb2.Deployment, process: str, wanted: str) -> str:
    healthy = Counter({one.region: 0 for one in found.instances})
    healthy.update(
        one.region
        for one in found.instances
        if one.process == process and one.state == deployment_pb2.INSTANCE_STATE_HEALTHY
    )
    return "; ".join(f"{region}: {count} healthy, {wanted} wanted" for region, count in sorted(healthy.items()))


def fact_row(name: str, value: str, width: int | None) -> str:
    """A label and its value; with `width`, the value is wrapped to that many columns."""
    lines = wrapped(value, width - LABEL_WIDTH) if width else [value]
    return "\n".join(f"{'' if number else name:<{LABEL_WIDTH}}{line}" for number, line in enumerate(lines))


def _status_text(found: deployment_pb2.Deployment) -> str:
    """Status, whether it is live, and run state, e.g. "ready, live, running"."""
    parts = [status_name(found.status)]
    if found.superseded_by_deployment_id:
        parts = [f"{parts[0]} by {clean(found.superseded_by_deployment_id)}"]
    if found.is_live:
        parts.append("live")
    elif found.status == deployment_pb2.DEPLOYMENT_STATUS_READY:
        parts.append("not live")
    if found.run_state not in (deployment_pb2.RUN_STATE_UNSPECIFIED, deployment_pb2.RUN_STATE_NONE):
        parts.append(run_state_name(found.run_state))
    if any(one.HasField("silence") and not one.silence.is_probed for one in found.instances):
        parts.append("last known state")
    return ", ".join(parts)


def app_output(found: deployment_pb2.Deployment) -> Iterator[tuple[str, list[str]]]:
    """(heading, lines) of the failed start, if any, then of each instance that exited."""
    if found.last_output:
        yield "before its start failed", [clean(line) for line in found.last_output]
    for instance in found.instances:
        if instance.HasField("last_exit"):
            yield exit_text(instance), [clean(line) for line in instance.last_exit.output]


def exit_text(instance: deployment_pb2.Instance) -> str:
    """Which instance exited when and why, e.g. "local/0, 3 min ago: the app exited with code 7"."""
    seen = instance.last_exit
    return f"{instance_label(instance)}, {ago(seen.at)} ago: {clean(seen.reason)}"
