"""The port between the controller and whatever runs containers.

Every method is idempotent unless it says otherwise and safe to call for different instances at the same time; the
controller serialises calls for one deployment. All raise `Unavailable` when the engine is away.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pkg.ids import dns_label

ENGINE_IMAGE_PREFIX = "engine:"
NOT_STARTED = "instance.not_started"  # the code of a refusal that may pass
ADDRESSES = "addresses"
DISK = "disk"


class InstanceStatus(StrEnum):
    """What the engine says of a container; "gone" is a container that does not exist."""

    CREATED = "created"
    RUNNING = "running"
    RESTARTING = "restarting"
    EXITED = "exited"

    @property
    def is_down(self) -> bool:
        """Whether the app does not run although it did before."""
        return self in (InstanceStatus.RESTARTING, InstanceStatus.EXITED)


@dataclass(frozen=True)
class InstanceSpec:
    """All that a container is made from.

    Attributes:
        image_ref: "engine:sha256:..." for an image of this very engine, else a reference to pull when absent.
        command: Replaces the image's command; empty keeps it.
        variables: In clear; kept out of repr.
        public_url: Where users reach the app, told to it; "" when that is not known. No part of the fingerprint: an
            instance that runs is not made again because its address changed.
        disk_mib: What it may write to its own layer; 0: without bound. No part of the fingerprint, either.
        is_process_one: The app brings an init that refuses to run as another process than 1.
    """

    deployment_id: str
    workspace_id: str
    project_id: str
    environment_id: str
    replica: int
    image_ref: str
    cpu_millicores: int
    memory_mib: int
    port: int
    command: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    public_url: str = ""
    disk_mib: int = 0
    is_process_one: bool = False

    @property
    def name(self) -> str:
        """Deterministic, so that a second creation meets the first one instead of doubling it."""
        return instance_name(self.deployment_id, self.replica)

    @property
    def fingerprint(self) -> str:
        """Equal for two specs that need no new container; the leading number is the version of the container spec."""
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
class InstanceDetails:
    """One container as the engine sees it.

    Attributes:
        name: The instance's id in reports.
        address: IP address on the region's network; "" while it does not run.
        is_address_assigned: the address is the container's for as long as it exists, also while it does not run.
        pid: Of the first process, in the host's pid namespace; 0 while it does not run.
        kept_running: Whether the engine restarts it by itself: it was healthy once (`keep_running`).
        started_at_ms: Epoch ms of the last start; 0 when never started.
        memory_mib: Its limit.
        command: What it runs: entrypoint and arguments.
        exposed_ports: TCP ports that its image EXPOSEs.
        is_cut_off: It runs without a place on its network: nobody reaches it until it is made again.
        is_paused: It was frozen by hand.
    """

    name: str
    container_id: str
    deployment_id: str
    replica: int
    status: InstanceStatus
    fingerprint: str = ""
    address: str = ""
    is_address_assigned: bool = False
    pid: int = 0
    exit_code: int = 0
    out_of_memory: bool = False
    error: str = ""
    restarts: int = 0
    kept_running: bool = False
    image_id: str = ""
    started_at_ms: int = 0
    memory_mib: int = 0
    command: tuple[str, ...] = ()
    exposed_ports: tuple[int, ...] = ()
    is_cut_off: bool = False
    is_paused: bool = False


@dataclass(frozen=True)
class InstanceSummary:
    """One container of this installation and region, found by its labels.

    Attributes:
        address: that it has, or will have once it runs again; "" when that is not certain.
    """

    name: str
    deployment_id: str
    replica: int
    address: str = ""


@dataclass(frozen=True)
class InstanceEvent:
    """Something happened to a container of ours: the engine's word ("start", "die", "oom", "destroy").

    Attributes:
        exit_code: of the app's process, with "die".
    """

    kind: str
    deployment_id: str
    name: str
    exit_code: int | None = None


@dataclass(frozen=True)
class DiskUse:
    """What a container has in its own layer, over its image: the sizes of its files, as the engine counts them."""

    name: str
    deployment_id: str
    container_id: str
    used_bytes: int


class ImageAbsentError(Exception):
    """The image has to be pulled first; raised by `ensure_instance` for pullable references only."""

    def __init__(self, image_ref: str) -> None:
        super().__init__(f"image {image_ref} is not here yet")
        self.image_ref = image_ref


class NoRoomError(Exception):
    """The instance can't be made for now; raised by `ensure_instance`.

    Attributes:
        resource: what ran out, e.g. `ADDRESSES`; "" when nothing did and it is a matter of moments.
        message: for people: how much there is and who has it.
    """

    def __init__(self, resource: str, message: str) -> None:
        super().__init__(message)
        self.resource = resource
        self.message = message


class Runtime(Protocol):
    """Runs the instances of one region."""

    @property
    def kind(self) -> str:
        """The word of RegisterRequest.runtime: "docker" or "kubernetes"."""
        ...

    async def open(self) -> str:
        """Connects and prepares (network); answers a description such as "Docker 20.10.24, linux/amd64".

        Until it has succeeded once, every other method raises Unavailable.
        """
        ...

    async def close(self) -> None:
        """Lets go of the engine; instances keep running."""
        ...

    async def ensure_instance(self, spec: InstanceSpec, *, is_live: bool) -> InstanceDetails:
        """Makes the instance exist and start, adopting one that is ours and alike.

        An adopted container that exited is not started again; one of another fingerprint is replaced. What is
        `is_live` may use the last of what there is.

        Raises:
            ImageAbsentError: pull first.
            NoRoomError: try again later.
            FailedPrecondition: what no retry heals (code "instance.*"); the message is for users.
            Unavailable: the engine is away, or refused for a reason that may pass (code "instance.not_started").
        """
        ...

    async def pull_image(self, image_ref: str) -> None:
        """Fetches an image; bounded in time. Raises FailedPrecondition saying why (refused, unknown, no registry)."""
        ...

    async def inspect_instance(self, name: str) -> InstanceDetails | None:
        """The instance as it is now; None when it does not exist or is not ours."""
        ...

    async def keep_running(self, name: str) -> None:
        """From now on the engine restarts the instance by itself, with back-off, also while krane is away."""
        ...

    async def start_instance(self, name: str) -> None:
        """Starts an existing instance that is down; one that never can start again is removed instead."""
        ...

    async def stop_instance(self, name: str, grace_s: int) -> None:
        """Asks the app to end, kills it after `grace_s` seconds, removes it. A missing instance is success."""
        ...

    async def list_instances(self, deployment_id: str | None = None) -> Sequence[InstanceSummary]:
        """Every instance of exactly this installation and region, of all deployments or of one."""
        ...

    async def why_away(self) -> str:
        """Why the engine gives no answer within some seconds, in words; "" if it gives one. Raises nothing."""
        ...

    async def tidy(self) -> None:
        """Removes what an earlier form of the region's network left, once no instance is on it."""
        ...

    async def output(self, name: str) -> str:
        """The last of what the app printed, as it came: at most 1000 lines and 256 KiB; "" when there is none."""
        ...

    async def disk_use(self) -> Sequence[DiskUse]:
        """Of every instance that runs. The engine looks at each of their files: the more there are, the longer."""
        ...

    async def listening_addresses(self, details: InstanceDetails) -> list[tuple[str, int]] | None:
        """(address, port) pairs the app accepts TCP connections on; None when that cannot be seen from here."""
        ...

    async def udp_ports(self, details: InstanceDetails) -> list[int]:
        """The UDP ports that the app can be sent to; [] also when that cannot be seen from here."""
        ...

    def events(self) -> AsyncIterator[InstanceEvent]:
        """Follows what happens to our instances. Ends or raises Unavailable when the engine closes the stream."""
        ...


def instance_name(deployment_id: str, replica: int) -> str:
    """The container's name: "dep-06b7...-0"."""
    return f"{dns_label(deployment_id)}-{replica}"
