"""The port between the controller and whatever runs the instances of deployments.

The controller says what should run and judges what it sees; a runtime makes it so by its own means (containers of an
engine, Pods of a cluster) and says what there is. Every method is idempotent and may be called for different replicas
at the same time; the controller serialises the calls for one replica. All raise `Unavailable` while the runtime is
away. `svc.krane.runtime.contract` holds the tests of this port.

Each process of a deployment (pkg.desired.processes) is run as a deployment of its own beside its web instances. Every
`deployment_id` here is the id of such a workload: "dep_06b7..." or "dep_06b7....worker".
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from pkg.desired.processes import split_workload, workload_label
from pkg.desired.scaling import ReplicaBounds
from pkg.images import StoredImage
from svc.krane.runtime.execs import ExecProcess, ExecSpec

NOT_STARTED = "instance.not_started"  # the code of a refusal that may pass
ADDRESSES = "addresses"
DISK = "disk"
UNKNOWN_BYTES = -1
CAPACITY = "capacity"  # of a cluster: its nodes are full, or a quota is used up


class InstanceStatus(StrEnum):
    """Whether an instance's app runs; an instance that does not exist has no status."""

    CREATED = "created"
    RUNNING = "running"
    RESTARTING = "restarting"
    EXITED = "exited"

    @property
    def is_down(self) -> bool:
        """Whether the app does not run although it did before."""
        return self in (InstanceStatus.RESTARTING, InstanceStatus.EXITED)


@dataclass(frozen=True)
class DeploymentSpec:
    """All that the instances of one deployment are made from.

    Attributes:
        deployment_id: Of the workload, see above; `owner_id` is that of the deployment.
        port: Handed to the app as $PORT; 0: it is a process, and gets none.
        replicas: How many instances there should be, numbered from 0; with `bounds` at least, see `wanted_replicas`.
        image_ref: "engine:sha256:..." for an image of this very runtime, else a reference to pull when absent.
        must_pull: A user named the image: it runs once it was pulled for this deployment, although the runtime may have
            an image of that name that never came from the registry. No part of the revision.
        command: Replaces the image's command; empty keeps it.
        variables: In clear; kept out of repr.
        public_url: Where users reach the app, passed to it; "" when that is not known. No part of the revision: an
            instance that runs is not replaced because its address changed.
        disk_mib: What an instance may write to its own file system; 0: without bound. No part of the revision, either.
        bounds: The runtime's autoscaler chooses the number within them; None: it is fixed. No part of the revision.
        replaces: The deployment that gets its environment's requests now; "" for none, or itself. No part of the
            revision.
        restart_generation: Of the last restart that a user asked for; stored with each instance that is made. No part
            of the revision: the controller decides which instance is made again, and when.
    """

    deployment_id: str
    workspace_id: str
    project_id: str
    environment_id: str
    replicas: int
    image_ref: str
    cpu_millicores: int
    memory_mib: int
    port: int
    command: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    public_url: str = ""
    disk_mib: int = 0
    must_pull: bool = False
    bounds: ReplicaBounds | None = None
    replaces: str = ""
    restart_generation: int = 0

    @property
    def owner_id(self) -> str:
        """The id of the deployment, also of a process's."""
        return split_workload(self.deployment_id)[0]

    @property
    def process(self) -> str:
        """The process; "" for web."""
        return split_workload(self.deployment_id)[1]

    @property
    def revision(self) -> str:
        """Equal for two specs whose instances are alike; the leading number is the version of this function.

        A runtime stores it with each instance it makes, and `Observation.revision` gives it back.
        """
        parts = [
            self.image_ref,
            str(self.cpu_millicores),
            str(self.memory_mib),
            str(self.port),
            *self.command,
            "--",
            *(f"{name}={value}" for name, value in sorted(self.variables.items())),
        ]
        return "1-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class WantedReplicas:
    """How many instances of a deployment there should be now.

    Attributes:
        count: They are numbered from 0; those with higher numbers leave the ingress and end.
        notice: Why the number does not follow the load, for people; "" when it does, or has no bounds.
        may_exceed: One instance more may be made for a while; False where an autoscaler holds the number.
    """

    count: int
    notice: str = ""
    may_exceed: bool = True


@dataclass(frozen=True)
class Observation:
    """One instance as the runtime sees it now.

    Attributes:
        name: `instance_name`, also where the runtime itself has another name for it.
        uid: Of this very instance: another one of the same name has another uid.
        revision: Of the spec that it was made from.
        address: IP address that krane and the ingress reach; "" while it does not run.
        is_address_assigned: The address is the instance's for as long as it exists, also while it does not run.
        exit_code: Of the app's last process; 0 while there was none.
        restarts: How often the runtime has started the app again by itself.
        is_kept_running: The runtime restarts it by itself: it was healthy once (`Runtime.apply`, `keep_running`).
        image_id: "sha256:..." that it runs.
        started_at_ms: Epoch ms of the last start; 0 when never started.
        memory_mib: Its limit.
        command: What it runs, entrypoint and arguments; () when the runtime does not say.
        is_broken: It will never answer again, whatever the app does; `Runtime.apply` replaces it.
        reason: Why the app can't answer although it runs, for people; "" when nothing is known.
        restart_generation: Of the spec that it was made from.
    """

    name: str
    uid: str
    deployment_id: str
    replica: int
    status: InstanceStatus
    revision: str = ""
    address: str = ""
    is_address_assigned: bool = False
    exit_code: int = 0
    out_of_memory: bool = False
    restarts: int = 0
    is_kept_running: bool = False
    image_id: str = ""
    started_at_ms: int = 0
    memory_mib: int = 0
    command: tuple[str, ...] = ()
    is_broken: bool = False
    reason: str = ""
    restart_generation: int = 0


@dataclass(frozen=True)
class JobSpec:
    """What a job is made from: as an instance of `of`, whose command is the job's.

    Attributes:
        is_release: of one environment, only one such job runs at a time.
    """

    job_id: str
    of: DeploymentSpec
    is_release: bool = False


@dataclass(frozen=True)
class JobRef:
    """One job's container or Pod of this installation and region, whether or not it has ended."""

    job_id: str
    environment_id: str
    is_release: bool


@dataclass(frozen=True)
class JobObservation:
    """A job's container or Pod as the runtime sees it now.

    Attributes:
        seen: `name` is `pkg.desired.jobs.job_name`, and `replica` means nothing. RUNNING from start to end; EXITED with
            the exit code of its first process.
        ended_at_ms: by the clock of `started_at_ms`; 0: it has not ended.
        reason: what ended it, for people, where the exit code would mislead; "": the exit code says it.
        has_expired: `stop_job` ended it, or it ran for too long, and the runtime does not know its exit code.
    """

    seen: Observation
    ended_at_ms: int = 0
    reason: str = ""
    has_expired: bool = False


@dataclass(frozen=True)
class InstanceRef:
    """One instance of this installation and region.

    Attributes:
        address: that it has, or will have once it runs again; "" when that is not certain.
    """

    name: str
    deployment_id: str
    replica: int
    address: str = ""


class EventKind(StrEnum):
    """What may happen to an instance."""

    CHANGED = "changed"  # it has to be observed again
    ENDED = "ended"  # the app's process
    OUT_OF_MEMORY = "out_of_memory"  # ENDED follows if that was the app's first process
    DISK_EXCEEDED = "disk_exceeded"  # it uses more than `DeploymentSpec.disk_mib`


@dataclass(frozen=True)
class InstanceEvent:
    """Something happened to an instance.

    Attributes:
        name: of the instance; "" when it concerns the whole deployment.
        exit_code: with ENDED, None when that was not seen.
        reason: with ENDED, what ended the app as text, where the exit code would mislead; "": the exit code says it.
        uid, used_bytes: with DISK_EXCEEDED: which instance, and how much it has written; `UNKNOWN_BYTES` when that is
            only known to be more than it may.
    """

    kind: EventKind
    deployment_id: str
    name: str = ""
    exit_code: int | None = None
    reason: str = ""
    uid: str = ""
    used_bytes: int = 0


@dataclass(frozen=True)
class CandidatePorts:
    """Where an app may answer.

    Attributes:
        listening: (address, port) of each TCP socket that takes connections; None when they can't be seen.
        udp: UDP ports that the app can be sent to; () also when that can't be seen.
        exposed: TCP ports that its image EXPOSEs; () also when that is not known.
    """

    listening: tuple[tuple[str, int], ...] | None = None
    udp: tuple[int, ...] = ()
    exposed: tuple[int, ...] = ()


@dataclass(frozen=True)
class NotExecuted:
    """A program that could not be executed, and the system's words for why."""

    program: str
    cause: str


@dataclass(frozen=True)
class Output:
    """The last of what an app printed: at most 1000 lines and 256 KiB.

    Attributes:
        text: as it came, without lines of the runtime's own.
        not_executed: what the runtime itself said in its place.
    """

    text: str = ""
    not_executed: NotExecuted | None = None


MAX_RECORD_BYTES = 64 << 10


class LogRecord(NamedTuple):
    """A piece of what an app printed, as the runtime keeps it.

    Attributes:
        at_ns: epoch nanoseconds when the runtime got it. Records are in the order in which they were kept; their times
            may go back a little.
        is_stderr: False also where the runtime does not tell the outputs apart.
        data: a line without its newline, or at most 64 KiB of a longer one.
        is_partial: the line goes on in the next record of the same output, which is of the same time.
    """

    at_ns: int
    is_stderr: bool
    data: bytes
    is_partial: bool = False


@dataclass(frozen=True)
class InstanceUsage:
    """What an instance that runs uses, as the runtime counts it. None: unknown, which is not 0.

    Attributes:
        uid: of this very instance.
        memory_bytes: in use now, without what the kernel can drop at once.
        cpu_ns: CPU time in nanoseconds, counted since its app was started last.
        cpu_nanocores: what it uses now; only of a runtime that does not count `cpu_ns`.
        network_rx_bytes, network_tx_bytes, disk_read_bytes, disk_write_bytes: counted since the instance was made, or
            since its app was started last.
    """

    name: str
    uid: str
    deployment_id: str
    memory_bytes: int
    cpu_ns: int | None = None
    cpu_nanocores: int | None = None
    network_rx_bytes: int | None = None
    network_tx_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None


class PendingError(Exception):
    """The instance can't be made for now; raised by `Runtime.apply`.

    Attributes:
        resource: what ran out, e.g. `ADDRESSES`; "" when nothing did and it is a matter of moments.
        message: for people: what is waited for, or how much there is and who has it.
    """

    def __init__(self, resource: str, message: str) -> None:
        super().__init__(message)
        self.resource = resource
        self.message = message


@dataclass(frozen=True)
class RuntimeContext:
    """What a runtime gets besides krane's configuration.

    Attributes:
        unusable_addresses: Addresses that no new instance may get, since the ingress may still send requests there;
            None: not known yet. For runtimes that assign addresses.
        is_leader: Whether this krane may write. For runtimes that several kranes share: one that may not says what
            there is, and deletes nothing.
    """

    installation_id: str
    unusable_addresses: Callable[[], frozenset[str] | None]
    is_leader: Callable[[], bool] = lambda: True


class Runtime(Protocol):
    """Runs the instances of one region."""

    async def open(self) -> str:
        """Connects and prepares; answers a description such as "Docker 20.10.24, linux/amd64".

        Until it has succeeded once, every other method raises Unavailable.
        """
        ...

    async def check(self) -> str:
        """Why the runtime gives no answer within some seconds, as text; "" if it gives one. Raises nothing."""
        ...

    async def close(self) -> None:
        """Disconnects from the runtime; instances keep running."""
        ...

    async def wanted_replicas(self, spec: DeploymentSpec) -> WantedReplicas:
        """How many instances there should be now: `spec.replicas`, or what the autoscaler has chosen within the bounds.

        A deployment with bounds begins with as many as the one that it replaces has, within its own bounds.
        An event without a name says when that may have changed. A runtime without an autoscaler answers
        `spec.replicas`, and with bounds says so in the notice.
        """
        ...

    async def apply(
        self, spec: DeploymentSpec, replica: int, seen: Observation | None, *, is_live: bool, keep_running: bool = False
    ) -> Observation:
        """Makes one replica as the spec says, and answers it as it is then.

        A missing instance is made and started; one that is ours and alike is adopted; one of another revision, or one
        that is broken, is replaced. One whose app has ended stays as it is, unless it is to be kept running or the way
        in which the runtime had made it was at fault. An image is pulled without waiting for it: PendingError until it
        is there, and an event then. All instances of a deployment run the same image, also when a tag has moved.

        Args:
            spec: of the whole deployment.
            replica: less than the wanted number.
            seen: what `observe` has answered just before; what changed since is met by the next call.
            is_live: it may use the last of what there is, and comes first where others wait.
            keep_running: the instance that was seen was healthy: from now on the runtime starts it again by itself,
                with back-off, also while krane is away; one that is down is started at once.

        Raises:
            PendingError: not now: call again later.
            FailedPrecondition: what no retry heals (code "instance.*"); the message is for users.
            Unavailable: the runtime is away, or refused for a reason that may pass (code "instance.*").
        """
        ...

    async def delete(self, deployment_id: str, name: str, *, grace_s: int, is_replaced: bool = False) -> None:
        """Ends one instance: signals the app to end, kills it after `grace_s` seconds, removes it.

        A missing instance is success. One that is replaced will be applied again: a runtime that keeps a number of
        instances by itself may make the next one at once. Any other stays away until `apply` is called for its replica,
        and such a runtime may end those of a higher number with it: callers end the highest ones first, or all.
        """
        ...

    async def observe(self, deployment_id: str, replica: int) -> Observation | None:
        """The instance as it is now; None when it does not exist or is not ours."""
        ...

    async def list_instances(self, deployment_id: str | None = None) -> Sequence[InstanceRef]:
        """Every instance of exactly this installation and region, of all deployments or of one."""
        ...

    def events(self) -> AsyncIterator[InstanceEvent]:
        """Follows what happens to our instances. Ends or raises Unavailable when the runtime closes the stream.

        Events may repeat or be lost: callers observe everything again from time to time.
        """
        ...

    async def output(self, name: str) -> Output:
        """The last of what the app printed; empty when there is none."""
        ...

    def logs(self, name: str, uid: str, since_s: int) -> AsyncGenerator[list[LogRecord]]:
        """Follows what an instance prints: what the runtime still has since then, and then what comes.

        Ends after the last record of an app that has ended, and at once where there is no such instance. Asked again
        from the same time, it yields the same lines first, but for those that the runtime has dropped.

        Args:
            name: of the instance.
            uid: of this very instance.
            since_s: epoch seconds; 0: from the start.

        Raises:
            Unavailable: the runtime is away, or the stream broke.
        """
        ...

    async def exec(self, name: str, uid: str, spec: ExecSpec) -> ExecProcess:
        """Runs a command in an instance, beside its app. The caller closes it.

        A command that can't be executed is one that has ended. What an earlier krane has left running is ended by
        `open`, or ends by itself when that krane does.

        Raises:
            FailedPrecondition: `exec.not_running`, there is no such instance, or it does not run.
            Unavailable: the runtime is away.
        """
        ...

    async def usage(self) -> Sequence[InstanceUsage]:
        """What each instance that runs uses now. Those that can't be measured for the moment are left out.

        Asked every few seconds: it must not cost the machine much.
        """
        ...

    async def candidate_ports(self, seen: Observation) -> CandidatePorts:
        """Where the app of an instance that runs may answer."""
        ...

    async def start_job(self, spec: JobSpec) -> JobObservation:
        """Makes a job's container or Pod and starts it; one that is there already is adopted, also one that has ended.

        It is never started twice: neither by a second call, nor by the runtime itself. An image is pulled as
        by `apply`, which raises the same.
        """
        ...

    async def observe_job(self, spec: JobSpec) -> JobObservation | None:
        """The job as it is now; None when it does not exist or is not ours."""
        ...

    async def stop_job(self, spec: JobSpec, *, grace_s: int) -> None:
        """Signals a job to end, and kills it after `grace_s` seconds; its exit code and output stay where they can.

        One that has ended, or is missing, is success.
        """
        ...

    async def list_jobs(self) -> Sequence[JobRef]:
        """Every job of exactly this installation and region."""
        ...

    async def remove_job(self, job_id: str) -> None:
        """Removes a job, whatever it does; returns once nothing of it runs. A missing one is success."""
        ...

    async def list_images(self) -> Sequence[StoredImage]:
        """The images that builds of this installation left here; [] where the runtime cleans them up by itself."""
        ...

    async def delete_image(self, image: StoredImage) -> bool:
        """Deletes a listed image. Idempotent: one that is gone is success.

        False: it stays, because it was built again since it was listed, or an instance was made of it.
        """
        ...

    async def collect_garbage(self) -> None:
        """Removes what the runtime made for instances that are gone. Called after all instances were listed."""
        ...


def instance_name(deployment_id: str, replica: int) -> str:
    """The instance's id in reports: "dep-06b7...-0", of a process "dep-06b7...-worker-0".

    Deterministic: a second creation meets the first one.
    """
    return f"{workload_label(deployment_id)}-{replica}"
