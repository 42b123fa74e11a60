"""What a Pod of ours says, as values of the port. Pure.

An instance that nobody found healthy yet counts as ended once its app has ended, although the kubelet starts it again
at once: a Pod of a StatefulSet knows no other way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pkg.desired.jobs import job_name
from svc.krane.runtime.kubernetes import identity as names
from svc.krane.runtime.kubernetes.wire import Condition, Pod, Terminated
from svc.krane.runtime.port import (
    UNKNOWN_BYTES,
    EventKind,
    InstanceEvent,
    InstanceRef,
    InstanceStatus,
    Observation,
    instance_name,
)

# How a container ended that was never started: the runtime could not execute its command.
NOT_STARTED_REASONS = frozenset({"StartError", "ContainerCannotRun", "RunContainerError"})
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "K": 1000, "M": 1000**2, "G": 1000**3}
_BINARY["k"] = 1000
MIB = 1 << 20
KILLED = 128 + 9  # exit code of an app that signal 9 ended


@dataclass(frozen=True)
class PodHistory:
    """What was seen of a Pod, and is not in its newest state.

    Attributes:
        first_end: how its app ended first.
        pull_error: the registry's words, which the back-off hides.
        failed_pulls: how many were seen to fail. `is_pull_failed`: the newest state says so of one.
        ends_since: when its deletion was seen first, in seconds of the monotonic clock.
    """

    first_end: Terminated | None = None
    pull_error: str = ""
    failed_pulls: int = 0
    is_pull_failed: bool = False
    ends_since: float | None = None

    def with_state(self, pod: Pod, now_s: float) -> "PodHistory":
        """Takes a newer state of the Pod."""
        end, waiting = last_end(pod), pod.container.state.waiting
        history = self
        if self.first_end is None and end is not None:
            history = replace(history, first_end=end)
        is_pull_failed = waiting is not None and waiting.reason == "ErrImagePull"
        if is_pull_failed != self.is_pull_failed:
            history = replace(
                history, is_pull_failed=is_pull_failed, failed_pulls=self.failed_pulls + int(is_pull_failed)
            )
        if waiting is not None and is_pull_failed and waiting.message:
            history = replace(history, pull_error=waiting.message)
        if self.ends_since is None and pod.metadata.deletion_timestamp is not None:
            history = replace(history, ends_since=now_s)
        return history


def is_instance(pod: Pod, identity: names.Identity) -> bool:
    """Whether a Pod with our labels is an instance: a copy of one, made to debug it, has another name."""
    deployment_id = pod.metadata.labels.get(names.LABEL_DEPLOYMENT, "")
    workspace_id = pod.metadata.labels.get(names.LABEL_WORKSPACE, "")
    number = names.ordinal(pod.metadata.name)
    return (
        number >= 0
        and pod.metadata.name == instance_name(deployment_id, number)
        and pod.metadata.namespace == identity.namespace(workspace_id)
    )


def is_job(pod: Pod, identity: names.Identity) -> bool:
    """Whether a Pod with our labels is a job's."""
    labels = pod.metadata.labels
    return (
        names.LABEL_JOB in labels
        and pod.metadata.name == job_name(labels[names.LABEL_JOB])
        and pod.metadata.namespace == identity.namespace(labels.get(names.LABEL_WORKSPACE, ""))
    )


def deployment_of(labels: dict[str, str]) -> str:
    """The deployment that an object of ours belongs to."""
    return labels.get(names.LABEL_DEPLOYMENT, "")


def revision_of(pod: Pod) -> str:
    """Of the spec that it was made from."""
    return pod.metadata.annotations.get(names.ANNOTATION_REVISION, "")


def restart_of(pod: Pod) -> int:
    """The restart that it was made for; 0: none."""
    number = pod.metadata.annotations.get(names.ANNOTATION_RESTART, "")
    return int(number) if number.isascii() and number.isdecimal() else 0


def is_ending(pod: Pod) -> bool:
    """Whether its deletion was requested: it takes no requests any more, and another one follows, or none."""
    return pod.metadata.deletion_timestamp is not None


def stops_late(pod: Pod) -> bool:
    """Whether its app is signalled `objects.STOP_DELAY_S` after its end was requested."""
    return bool(pod.spec.app.lifecycle.pre_stop)


def is_scheduled(pod: Pod) -> bool:
    """Whether a node was chosen for it."""
    return bool(pod.spec.node_name)


def was_healthy(pod: Pod) -> bool:
    """Whether krane found it healthy once."""
    condition = pod.condition(names.CONDITION_HEALTHY)
    return condition is not None and condition.status == "True"


def has_ended(pod: Pod) -> bool:
    """Whether its node will not start its app again."""
    return pod.status.phase in ("Failed", "Succeeded")


def last_end(pod: Pod) -> Terminated | None:
    """How its app ended last; None: it never did, or was never started."""
    container = pod.container
    return container.state.terminated or container.last_state.terminated


def could_not_start(end: Terminated | None) -> bool:
    """Whether that was no end of the app, but of the try to execute it."""
    return end is not None and end.reason in NOT_STARTED_REASONS


def is_evicted_for_disk(pod: Pod) -> bool:
    """Whether the kubelet ended it because it wrote more than its bound.

    A node that runs out of disk also says of each Pod that its use "exceeds its request", which is 0.
    """
    said = pod.status.message.lower()
    is_own = "ephemeral" in said and "exceed" in said and not said.startswith("the node was low on resource")
    return pod.status.phase == "Failed" and pod.status.reason == "Evicted" and is_own


def was_given_up(pod: Pod) -> bool:
    """Whether its node ended it for reasons of its own: it ran out of something, or is shut down."""
    return pod.status.phase == "Failed" and bool(pod.status.reason) and not is_evicted_for_disk(pod)


def observation(pod: Pod, history: PodHistory) -> Observation | None:
    """An instance; None for one that is being removed, has no node yet, or was given up by its node."""
    if is_ending(pod) or not is_scheduled(pod) or was_given_up(pod):
        return None
    is_kept, end = was_healthy(pod), last_end(pod)
    status = _status(pod, history)
    shown = end if is_kept else history.first_end or end
    started = pod.container.state.running
    limits = pod.spec.app.resources.limits
    has_ended = status is not InstanceStatus.CREATED and shown is not None
    deployment_id = deployment_of(pod.metadata.labels)
    return Observation(
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        deployment_id=deployment_id,
        replica=names.ordinal(pod.metadata.name),
        status=status,
        revision=revision_of(pod),
        address=pod.status.pod_ip if status is InstanceStatus.RUNNING else "",
        exit_code=shown.exit_code if has_ended and shown is not None else 0,
        out_of_memory=has_ended and shown is not None and shown.reason == "OOMKilled",
        restarts=pod.container.restart_count if is_kept else 0,
        is_kept_running=is_kept,
        image_id=pod.container.image_id.rpartition("@")[2],
        # The cluster counts seconds: two starts within one differ by the number of the start.
        started_at_ms=_epoch_ms(started.started_at) + pod.container.restart_count % 1000 if started else 0,
        memory_mib=bytes_of(str(limits.get("memory", "0"))) // MIB,
        command=pod.spec.app.args,
        restart_generation=restart_of(pod),
    )


def ref(pod: Pod) -> InstanceRef:
    """An instance for lists."""
    return InstanceRef(
        pod.metadata.name, deployment_of(pod.metadata.labels), names.ordinal(pod.metadata.name), pod.status.pod_ip
    )


def events(before: Pod | None, now: Pod) -> Iterator[InstanceEvent]:
    """What happened to an instance between two states of its Pod; nothing if they are equal for the port."""
    deployment_id, name = deployment_of(now.metadata.labels), now.metadata.name
    if before is not None and before.metadata.uid != now.metadata.uid:
        before = None
    end, earlier = last_end(now), last_end(before) if before is not None else None
    if is_evicted_for_disk(now) and not (before is not None and is_evicted_for_disk(before)):
        yield InstanceEvent(
            EventKind.DISK_EXCEEDED, deployment_id, name, uid=now.metadata.uid, used_bytes=UNKNOWN_BYTES
        )
    if end is not None and end != earlier and not could_not_start(end) and not _is_older(end, earlier):
        if end.reason == "OOMKilled":
            yield InstanceEvent(EventKind.OUT_OF_MEMORY, deployment_id, name)
        yield InstanceEvent(EventKind.ENDED, deployment_id, name, end.exit_code, _deletion_reason(now, end))
    elif before is None or _facts(before) != _facts(now):
        yield InstanceEvent(EventKind.CHANGED, deployment_id, name)


def scheduling(pod: Pod) -> Condition | None:
    """Why no node was found for it."""
    condition = pod.condition("PodScheduled")
    return condition if condition is not None and condition.status == "False" else None


def bytes_of(quantity: str) -> int:
    """A quantity of memory in bytes; 0 for what is none."""
    for suffix, factor in _BINARY.items():
        if quantity.endswith(suffix):
            number = quantity.removesuffix(suffix)
            return int(float(number) * factor) if number.replace(".", "", 1).isdecimal() else 0
    return int(quantity) if quantity.isdecimal() else 0


def _status(pod: Pod, history: PodHistory) -> InstanceStatus:
    state = pod.container.state
    if has_ended(pod):
        return InstanceStatus.EXITED
    if was_healthy(pod):
        return InstanceStatus.RUNNING if state.running is not None else InstanceStatus.RESTARTING
    end = history.first_end or last_end(pod)
    if end is not None:
        return InstanceStatus.CREATED if could_not_start(end) else InstanceStatus.EXITED
    return InstanceStatus.RUNNING if state.running is not None else InstanceStatus.CREATED


def _deletion_reason(pod: Pod, end: Terminated) -> str:
    """What ended an app whose Pod was deleted: by hand, or to empty a node. "" if it ended otherwise."""
    if not is_ending(pod) or end.reason == "OOMKilled":
        return ""
    grace_s = pod.metadata.deletion_grace_period_seconds or 0
    if end.exit_code == KILLED:
        return f"its Pod was deleted; the app did not end within {grace_s} s and was killed (exit code {KILLED})"
    return f"its Pod was deleted, and the app ended (exit code {end.exit_code})"


def _is_older(end: Terminated, earlier: Terminated | None) -> bool:
    """The kubelet forgets ends: what it then shows is no news."""
    return earlier is not None and bool(end.finished_at) and (end.finished_at or "") < (earlier.finished_at or "")


def _facts(pod: Pod) -> tuple[object, ...]:
    """What an event is told for."""
    condition = scheduling(pod)
    return (
        pod.metadata.deletion_timestamp is None,
        pod.spec.node_name,
        pod.status.phase,
        pod.status.pod_ip,
        pod.container,
        was_healthy(pod),
        revision_of(pod),
        "" if condition is None else condition.message,
    )


def _epoch_ms(stamp: str | None) -> int:
    try:
        return int(datetime.strptime((stamp or "")[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return 0
