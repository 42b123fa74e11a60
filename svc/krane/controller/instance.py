"""What krane knows of one instance, and the verdict it draws from that. No I/O."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pkg.desired.processes import split_workload
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.controller.probes import ProbeResult
from svc.krane.runtime.port import (
    UNKNOWN_BYTES,
    EventKind,
    InstanceEvent,
    InstanceStatus,
    Observation,
    instance_name,
)

STARTING = deployment_pb2.INSTANCE_STATE_STARTING
HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
UNHEALTHY = deployment_pb2.INSTANCE_STATE_UNHEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED

FAILURES_TO_UNHEALTHY = 3
MAX_REASON_CHARS = 1024
MIB = 1 << 20
DISK_EXCEEDED = "instance.disk_exceeded"
CALM_S = 600.0  # an instance that ran for so long starts with short waits again
REFUSED_S = 60.0
MAX_REFUSED_S = 900.0
MAX_DISK_HOLD_S = 300.0


@dataclass
class Exit:
    """One end of an app's process.

    Attributes:
        output: None: not read yet.
        reason: what ended it; "": its exit code says it.
    """

    exit_code: int | None
    out_of_memory: bool
    at: int
    output: list[str] | None = None
    reason: str = ""

    def message(self, instance: "Instance") -> deployment_pb2.InstanceExit:
        """As the api wants it."""
        limit = instance.seen.memory_mib if instance.seen else 0
        reason = self.reason or "the app ended; its exit code was not seen"
        if self.exit_code is not None and not self.reason:
            reason = end_reason(self.exit_code, out_of_memory=self.out_of_memory, memory_mib=limit)
        return deployment_pb2.InstanceExit(
            exit_code=self.exit_code,
            out_of_memory=self.out_of_memory,
            at=self.at,
            reason=instance.redact(reason),
            output=self.output or [],
        )


@dataclass
class Instance:
    """One replica of a deployment.

    Attributes:
        redact: Removes the values of the deployment's variables from what is reported of it.
        seen: What the runtime said last; None when there is no instance.
        was_observed: It was observed at least once; before that nothing is reported about it.
        was_healthy: A probe of this very instance succeeded once, now or before krane started.
        is_answering: The latest probes succeed, or those of an earlier krane did and none was made since.
        failure: Why it will not become healthy; stays until `renew`. `failure_code`: the same for programs.
        overfull: It passed its bound of disk and has to be ended, as this says. `disk_ends`: how often in a row.
        held_until: No instance is made before then, in seconds of the monotonic clock.
        last_exit: The last end of the app's process that was seen, whatever instance it was in.
        note: What is being waited for while there is no instance.
        refused_since: When it began to refuse connections although it runs and was healthy, in seconds of the
            monotonic clock; None: it does not. `refusals`: how often in a row it was replaced for that.
        running_since: When this krane first saw the current start running, in seconds of the monotonic clock.
        port_found: Where it answered while no port is set; 0: nowhere yet.
        port_notice: Why no port could be adopted yet, for people.
        is_unreachable: `port_notice` says why it will never answer.
        waits_for: The resource of which there is too little for an instance, "" for none.
        scaling_notice: Why the number of the deployment's instances does not follow the load; "" if it does.
        made_for: The restart that an instance is made for while there is none.
        is_leaving: It gets no new requests, since it is about to be made again.
    """

    deployment_id: str
    replica: int
    redact: Callable[[str], str] = str
    seen: Observation | None = None
    was_observed: bool = False
    was_healthy: bool = False
    is_answering: bool = False
    failure: str = ""
    failure_code: str = "instance.failed"
    overfull: Exit | None = None
    disk_ends: int = 0
    held_until: float = 0.0
    last_exit: Exit | None = None
    note: str = ""
    port_found: int = 0
    port_notice: str = ""
    is_unreachable: bool = False
    waits_for: str = ""
    scaling_notice: str = ""
    made_for: int = 0
    is_leaving: bool = False
    last_probe: ProbeResult | None = None
    refused_since: float | None = None
    refusals: int = 0
    running_since: float = 0.0
    log_tail: list[str] = field(default_factory=list)
    first_probe: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: int = 0
    _ran_out_of_memory: bool = False

    @property
    def name(self) -> str:
        """Its id in reports."""
        return instance_name(self.deployment_id, self.replica)

    @property
    def is_running(self) -> bool:
        """Whether the runtime says that the app's process lives."""
        return self.seen is not None and self.seen.status is InstanceStatus.RUNNING

    @property
    def incarnation(self) -> tuple[str, int, str]:
        """Differs for every start of every instance: probes of another incarnation prove nothing."""
        seen = self.seen
        return (seen.uid, seen.started_at_ms, seen.address) if seen else ("", 0, "")

    @property
    def is_between_starts(self) -> bool:
        """Whether it was healthy, runs again, and was not probed since."""
        was_restarted = self.was_healthy and self.is_running and not self.is_answering
        return was_restarted and not self.first_probe.is_set()

    def observed(self, seen: Observation | None, now_s: float) -> None:
        """Takes what the runtime says now; `now_s` in seconds of the monotonic clock."""
        before, uid_before = self.incarnation, self.seen.uid if self.seen else ""
        is_adopted = not self.was_observed
        self.seen = seen
        self.was_observed = True
        self.waits_for = ""
        if seen is None:
            self.is_answering = False
            return
        if seen.uid != uid_before:
            self.was_healthy = seen.is_kept_running
        if self.incarnation != before or not self.is_running:
            self.is_answering = False
            self._failures = 0
        if self.incarnation != before:
            self.port_found, self.port_notice, self.is_unreachable = 0, "", False
            self.last_probe, self.refused_since = None, None
            self.running_since = now_s
            self.first_probe.clear()
            # An earlier krane found it healthy, and users are sent there now: it takes three failures to end that.
            self.is_answering = is_adopted and seen.is_kept_running and self.is_running
        self.was_healthy = self.was_healthy or seen.is_kept_running
        if seen.status is InstanceStatus.EXITED and not self.was_healthy and not self.failure:
            self.failure = f"{exit_reason(seen)} before it was healthy"

    def probed(self, result: ProbeResult, now_s: float) -> None:
        """Takes a probe's result; three failures in a row end being healthy, one success ends being unhealthy.

        One that could not be made changes nothing. `now_s`: in seconds of the monotonic clock.
        """
        self.last_probe = result
        if result.is_unasked:
            return
        self.first_probe.set()
        if not (result.is_refused and self.was_healthy):
            self.refused_since = None
        elif self.refused_since is None:
            self.refused_since = now_s
        if result.is_ok:
            self.was_healthy, self.is_answering, self._failures = True, True, 0
            return
        self._failures += 1
        if self._failures >= FAILURES_TO_UNHEALTHY:
            self.is_answering = False

    def refuses_for_good(self, now_s: float) -> bool:
        """Whether it runs, was healthy, and has refused every connection for so long that only a new one will answer.

        That is a minute at first, twice as long after each replacement, at most 15 min; a minute again after an
        instance that lived for ten minutes.
        """
        if self.failure or not self.is_running or self.refused_since is None:
            return False
        return now_s - self.refused_since >= min(MAX_REFUSED_S, REFUSED_S * 2.0**self.refusals)

    def replaced_for_refusing(self, now_s: float) -> None:
        """Its instance was removed for refusing connections: another one is made."""
        refused_since = now_s if self.refused_since is None else self.refused_since
        self.refusals = 1 if refused_since - self.running_since >= CALM_S else self.refusals + 1
        self.renew()
        self.note = f"it ran, but refused every connection for {now_s - refused_since:.0f} s; it is being made again"

    def renew(self) -> None:
        """Forgets the instance that was: another one will be made."""
        self.seen, self.last_probe, self.failure, self.note, self.waits_for = None, None, "", "", ""
        self.was_healthy = self.is_answering = self.is_unreachable = False
        self.port_found, self.port_notice, self.refused_since = 0, "", None
        self.failure_code, self.overfull, self.is_leaving = "instance.failed", None, False
        self._failures, self.log_tail = 0, []

    def noticed(self, event: InstanceEvent, at: int) -> None:
        """Takes that the app's process ended, as the runtime's event says; its output is read by the next pass."""
        if event.kind is EventKind.OUT_OF_MEMORY:
            self._ran_out_of_memory = True
        elif event.kind is EventKind.ENDED:
            if self.was_healthy and self.overfull is None:
                self.last_exit = Exit(event.exit_code, self._ran_out_of_memory, at, reason=event.reason)
            self._ran_out_of_memory = False

    def disk_exceeded(self, event: InstanceEvent, disk_mib: int, at: int) -> bool:
        """Takes what it uses of its disk; True when that is more than its bound, for the first time."""
        seen = self.seen
        if seen is None or event.uid != seen.uid or self.failure or self.overfull is not None:
            return False
        if event.used_bytes != UNKNOWN_BYTES and event.used_bytes <= disk_mib * MIB:
            return False
        self.overfull = Exit(None, False, at, reason=disk_reason(event.used_bytes, disk_mib))
        return True

    def ended_for_disk(self, now_s: float) -> None:
        """It was removed for what it used: what was healthy is made again after a while, other is failed.

        The wait doubles from 1 s to 5 min, and begins small again after an instance that lived for ten minutes.
        """
        ended = self.overfull
        if ended is None:
            return
        if not self.was_healthy:
            self.observed(None, now_s)
            self.failure, self.failure_code = f"{ended.reason} before it was healthy", DISK_EXCEEDED
            self.log_tail = ended.output or []
            return
        self.disk_ends = 1 if now_s - self.running_since >= CALM_S else self.disk_ends + 1
        self.held_until = now_s + min(MAX_DISK_HOLD_S, 2.0 ** (self.disk_ends - 1))
        self.renew()
        self.last_exit, self.note = ended, f"{ended.reason}; it is being made again from its image"

    def verdict(self) -> "tuple[deployment_pb2.InstanceState.ValueType, str]":
        """The state and the reason for people ("" while healthy)."""
        seen = self.seen
        if self.failure:
            return FAILED, self.redact(self.failure)
        if seen is None or seen.status is InstanceStatus.CREATED:
            return STARTING, self.redact(self.note) or "the container is being created"
        if seen.status.is_down:
            return UNHEALTHY, f"{exit_reason(seen)}; it is being restarted"
        if self.is_answering:
            return HEALTHY, ""
        probe = self.last_probe.text if self.last_probe else "not probed yet"
        return (UNHEALTHY if self.was_healthy else STARTING), self.redact(seen.reason or probe)

    def report(self, observed_at: int) -> pb.InstanceReport:
        """The verdict as the api wants it."""
        state, reason = self.verdict()
        seen = self.seen
        owner_id, process = split_workload(self.deployment_id)
        report = pb.InstanceReport(
            instance_id=self.name,
            deployment_id=owner_id,
            process=process,
            replica=self.replica,
            state=state,
            reason=reason[:MAX_REASON_CHARS],
            last_probe=self.redact(self.last_probe.text) if self.last_probe else "",
            observed_at=observed_at,
            waits_for=self.waits_for if seen is None and state == STARTING else "",
            port=self.port_found,
            port_notice=self.redact(self.port_notice)[:MAX_REASON_CHARS],
            scaling_notice=self.scaling_notice[:MAX_REASON_CHARS],
            restart_generation=seen.restart_generation if seen is not None else self.made_for,
        )
        if seen is not None:
            report.image_id = seen.image_id
            report.restarts = seen.restarts
            report.started_at = seen.started_at_ms if self.is_running else 0
            if seen.status.is_down:
                report.exit_code = seen.exit_code
        if self.last_exit is not None:
            report.last_exit.CopyFrom(self.last_exit.message(self))
        if state == FAILED:
            report.code = self.failure_code
            report.log_tail.extend(self.log_tail)
        return report


def exit_reason(seen: Observation) -> str:
    """Why the app's process ended, as text."""
    return end_reason(seen.exit_code, out_of_memory=seen.out_of_memory, memory_mib=seen.memory_mib)


def is_signal(exit_code: int) -> bool:
    """Whether it says that a signal ended the app: of Linux's 64. 255 is what PHP and `exit(-1)` end with."""
    return 128 < exit_code <= 128 + 64


def end_reason(exit_code: int, *, out_of_memory: bool, memory_mib: int) -> str:
    """What an exit code means, as text."""
    if out_of_memory:
        return f"the app ran out of memory (limit: memory_mib = {memory_mib}) and was killed"
    if exit_code == 137:
        # The engine can see the end before the kernel's notice of memory that ran out, and then never says so.
        return (
            "the app was ended by signal 9 (exit code 137); "
            f"perhaps it ran out of memory (limit: memory_mib = {memory_mib})"
        )
    if is_signal(exit_code):
        return f"the app was ended by signal {exit_code - 128} (exit code {exit_code})"
    return f"the app exited with code {exit_code}"


def disk_reason(used_bytes: int, disk_mib: int) -> str:
    """Why an app was ended that wrote too much to its own disk."""
    if used_bytes == UNKNOWN_BYTES:
        return f"the app used more of its own disk than [run] disk_mib = {disk_mib}, and was ended"
    used = -(-used_bytes // MIB)  # up, so that it is more than the bound
    return f"the app used {used} MiB of its own disk, more than [run] disk_mib = {disk_mib}, and was ended"


def start_timeout_reason(timeout_s: float, probe: ProbeResult | None, ports: str) -> str:
    """Why an instance was not healthy in time; `ports`: what its ports show, where no probe met a listener."""
    said = probe.text if probe else "it was never probed"
    reason = f"not healthy within {timeout_s:.0f} s: {said}"
    return f"{reason}; {ports}" if ports and probe is not None and probe.is_refused else reason
