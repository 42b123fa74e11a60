"""Makes and starts the containers of instances, adopting those that are there already."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import docker.errors

from pkg.docker.calls import EngineCalls, said
from pkg.docker.labels import LABEL_SPEC
from pkg.errors import FailedPrecondition, Unavailable
from pkg.observability.logging import fields
from pkg.output.text import printable, printable_lines, without_escapes
from svc.krane.runtime import refusals
from svc.krane.runtime.docker import container_spec, inspected
from svc.krane.runtime.docker.containers import Containers
from svc.krane.runtime.docker.init import brings_init, needs_process_one
from svc.krane.runtime.docker.instance_images import InstanceImages
from svc.krane.runtime.docker.network import RegionNetwork
from svc.krane.runtime.docker.slots import StartSlots
from svc.krane.runtime.port import (
    DeploymentSpec,
    InstanceStatus,
    Observation,
    PendingError,
    instance_name,
)

log = logging.getLogger(__name__)

REPLACE_GRACE_S = 10
MAX_NOTED = 1000  # instances whose own init has to be process 1; of a forgotten one it is found out again


class Creation:
    """Creates the containers of one region on one engine. `use` comes first.

    Args:
        images: says by which name or id the engine knows the image of a deployment.
        slots: bounds how many containers are made and started at once.
        refresh: lists all containers, so that the network knows which addresses are free.
        cgroup_parent: control group of the containers; "" for the engine's.
    """

    def __init__(
        self,
        calls: EngineCalls,
        containers: Containers,
        network: RegionNetwork,
        images: InstanceImages,
        slots: StartSlots,
        refresh: Callable[[], Any],
        cgroup_parent: str = "",
    ) -> None:
        self._calls = calls
        self._containers = containers
        self._identity = containers.identity
        self._network = network
        self._images = images
        self._slots = slots
        self._refresh = refresh
        self._cgroup_parent = cgroup_parent
        self._platform = ""
        self._has_init = True
        self._has_quota = False
        self._process_one: dict[str, None] = {}

    def use(self, *, platform: str, storage_driver: str) -> None:
        """What the engine runs on, e.g. "linux/amd64". Of an engine that was found again all is tried again."""
        self._platform = platform
        self._has_init = True
        # Other drivers than overlay2 take a size for something else, or for nothing.
        self._has_quota = storage_driver == "overlay2"

    async def apply(
        self, spec: DeploymentSpec, replica: int, seen: Observation | None, *, is_live: bool
    ) -> Observation:
        """See `Runtime.apply`, for an instance that is not to be kept running yet."""
        name = instance_name(spec.deployment_id, replica)
        if seen is not None and seen.is_broken:
            log.warning("an instance has lost its network; replacing it", extra=fields(instance_id=name))
            await self._containers.remove(name, REPLACE_GRACE_S)
        elif seen is not None and seen.revision == spec.revision and seen.status is not InstanceStatus.CREATED:
            if not await self._insists_on_process_one(seen):
                return seen
            await self._containers.remove(name, 0)
        image = await self._images.resolve(spec)
        async with self._slots.take(is_live=is_live):
            return await self._ensure(spec, image, replica, is_live=is_live)

    async def start(self, seen: Observation) -> None:
        """Starts a container that is down; one that never can start again is removed instead. Raises Unavailable."""
        try:
            await self._calls.start(self._calls.client.start, seen.uid)
        except docker.errors.APIError as error:
            await self._remove_if_lost(seen.name, error)
            raise self._containers.away("start", seen.name, error) from error

    async def _ensure(self, spec: DeploymentSpec, image: str, replica: int, *, is_live: bool) -> Observation:
        seen = await self._create_or_adopt(spec, image, replica, is_live)
        if seen.status is not InstanceStatus.CREATED:
            return seen
        if not await self._start_new(seen):
            return await self._ensure(spec, image, replica, is_live=is_live)
        return await self._containers.must_inspect(seen.name)

    async def _insists_on_process_one(self, seen: Observation) -> bool:
        """Whether its app ended, before it was healthy, since the engine's init was process 1. It is noted."""
        if seen.status is not InstanceStatus.EXITED or seen.is_kept_running or seen.name in self._process_one:
            return False
        output = printable_lines(without_escapes(await self._containers.output(seen.name)))
        if not needs_process_one(seen.exit_code, output):
            return False
        self._process_one[seen.name] = None
        if len(self._process_one) > MAX_NOTED:
            del self._process_one[next(iter(self._process_one))]
        return True

    async def _create_or_adopt(self, spec: DeploymentSpec, image: str, replica: int, is_live: bool) -> Observation:
        name = instance_name(spec.deployment_id, replica)
        for _ in range(3):
            try:
                await self._create(spec, image, replica, await self._lease(is_live))
            except PendingError:
                if (existing := await self._adopt(spec, replica)) is not None:
                    return existing
                raise
            except docker.errors.NotFound as error:
                raise await self._not_found(spec, name, error) from error
            except docker.errors.APIError as error:
                if self._has_quota and refusals.is_quota_refused(said(error)):
                    log.info(
                        "the engine can't bound the disk of a container: it is watched", extra=fields(error=said(error))
                    )
                    self._has_quota = False
                    continue
                if error.status_code != 409:
                    no_room = refusals.shortage(said(error))
                    raise no_room or self._refused("create", name, spec.command, error) from error
                if (existing := await self._adopt(spec, replica)) is not None:
                    return existing
                continue  # it was replaced, or vanished meanwhile
            return await self._containers.must_inspect(name)
        raise Unavailable("engine.unavailable", f"container {name} comes and goes; trying again")

    async def _gets_init(self, spec: DeploymentSpec, image_name: str, name: str) -> bool:
        """Whether the engine's init is to be process 1: not where the image brings its own.

        Nor for an image of another architecture: a program that can't run here is named by the engine, while the init
        would have a shell try to read it.
        """
        if name in self._process_one or not self._has_init:
            return False
        inspect: Any = self._calls.client.inspect_image
        image = await self._containers.ask("inspect", "the image", inspect, image_name)
        config = image.get("Config") or {}
        command = [*(config.get("Entrypoint") or ()), *(spec.command or config.get("Cmd") or ())]
        is_native = image.get("Architecture", "") in ("", self._platform.partition("/")[2])
        return is_native and not brings_init(command)

    async def _lease(self, is_live: bool) -> str:
        try:
            return self._network.take(is_live=is_live)
        except PendingError:
            await self._refresh()  # what was removed by other hands is free
            return self._network.take(is_live=is_live)

    async def _create(self, spec: DeploymentSpec, image: str, replica: int, address: str) -> None:
        name = instance_name(spec.deployment_id, replica)
        try:
            config = container_spec.container_config(
                spec,
                image,
                replica,
                self._identity,
                self._network.name,
                address,
                init=await self._gets_init(spec, image, name),
                has_quota=self._has_quota,
                cgroup_parent=self._cgroup_parent,
            )
            await self._calls.start(self._calls.client.create_container_from_config, config, name)
        except (docker.errors.APIError, Unavailable):
            self._network.end_lease(name, address, is_made=False)
            raise
        self._network.end_lease(name, address, is_made=True)

    async def _adopt(self, spec: DeploymentSpec, replica: int) -> Observation | None:
        """The container that has the name already, or None when it is out of the way now."""
        name = instance_name(spec.deployment_id, replica)
        try:
            raw = await self._containers.ask("inspect", name, self._calls.client.inspect_container, name)
        except docker.errors.NotFound:
            return None
        labels = raw["Config"]["Labels"]
        if not container_spec.is_same_instance(labels, spec, replica, self._identity):
            raise FailedPrecondition(
                "instance.name_taken",
                f"container name {name} is taken by a container that is not this instance (its labels differ); "
                f"remove it by hand: docker rm -f {name}",
            )
        if labels.get(LABEL_SPEC) != spec.revision:
            log.info("replacing an instance whose settings changed", extra=fields(instance_id=name))
            await self._containers.remove(name, REPLACE_GRACE_S)
            return None
        return inspected.observation(raw)

    async def _start_new(self, seen: Observation) -> bool:
        """Starts a new container. False: it was removed, since it has to be made in another way."""
        try:
            await self._calls.start(self._calls.client.start, seen.name)
        except docker.errors.APIError as error:
            await self._remove_if_lost(seen.name, error)
            if self._has_init and refusals.is_init_missing(said(error)):
                log.warning("the engine has no init program (docker-init): apps run without one, zombies stay")
                self._has_init = False
                await self._containers.remove(seen.name, 0)
                return False
            if no_room := refusals.shortage(said(error)):
                raise no_room from error
            raise self._refused("start", seen.name, seen.command, error) from error
        return True

    async def _remove_if_lost(self, name: str, error: docker.errors.APIError) -> None:
        """Removes a container that can never be started again; the next try makes another one.

        An engine that was killed while it started one does not know that its process is there, and learns it by
        containerd at each further try that it exists. An address that someone else's container has is not given back.
        """
        if refusals.is_lost_start(said(error)) or refusals.is_address_taken(said(error)):
            extra = fields(name=name, error=said(error))
            log.warning("a container can't be started again; making another one", extra=extra)
            await self._containers.remove(name, 0)

    async def _not_found(self, spec: DeploymentSpec, name: str, error: docker.errors.NotFound) -> Exception:
        words = said(error).lower()
        if "network" in words and self._network.name in words:
            await self._network.ensure()  # removed by hand
            return Unavailable("engine.unavailable", f"network {self._network.name} was gone; trying again")
        if "no such image" not in words:
            return self._refused("create", name, spec.command, error)
        return self._images.missing(spec, self._identity.region)

    def _refused(self, action: str, name: str, command: Sequence[str], error: docker.errors.APIError) -> Exception:
        """What a refusal to create or start a container means for the instance."""
        words = printable(said(error), refusals.MAX_SAID_CHARS)
        found = refusals.classify(error.status_code, said(error), command=command, platform=self._platform)
        if found.kind is refusals.Kind.PERMANENT:
            return FailedPrecondition(found.code, f"the container cannot start: {found.why} (engine: {words})")
        extra = fields(instance_id=name, kind=found.kind)
        log.warning("the engine could not %s a container; trying again", action, extra=extra)
        return Unavailable(found.code, f"the engine could not {action} the container: {found.why} (engine: {words})")
