"""`DockerRuntime`: instances as containers of the Docker engine on this machine."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any, ParamSpec, TypeVar

import docker.errors

from pkg.errors import FailedPrecondition, Unavailable
from pkg.observability.logging import fields
from pkg.output.text import printable
from svc.krane.runtime.docker import container_spec, images, inspected, refusals, sockets
from svc.krane.runtime.docker.calls import EngineCalls, said
from svc.krane.runtime.docker.init import brings_init
from svc.krane.runtime.docker.network import RegionNetwork
from svc.krane.runtime.docker.streams import EngineStreams
from svc.krane.runtime.port import (
    ENGINE_IMAGE_PREFIX,
    DiskUse,
    ImageAbsentError,
    InstanceDetails,
    InstanceEvent,
    InstanceSpec,
    InstanceStatus,
    InstanceSummary,
    NoRoomError,
)

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

PULL_TIMEOUT_S = 600
OUTPUT_LINES = 1000
_REPLACE_GRACE_S = 10
_KEEP_RUNNING: Any = {"Name": "unless-stopped", "MaximumRetryCount": 0}


class DockerRuntime:
    """The `Runtime` of one installation and region on one engine. `open` comes first.

    `network`, `address_pool`, `unusable`: see `RegionNetwork`.
    """

    kind = "docker"

    def __init__(
        self,
        socket_path: str,
        identity: container_spec.Identity,
        network: str,
        *,
        address_pool: IPv4Network | None = None,
        unusable: Callable[[], frozenset[str] | None] = frozenset,
    ) -> None:
        self._identity = identity
        self._platform = ""
        self._has_init = True
        self._has_quota = False
        self._calls = EngineCalls(socket_path)
        self._streams = EngineStreams(socket_path)
        self._network = RegionNetwork(self._calls, identity, network, address_pool, unusable)

    async def open(self) -> str:
        """See `Runtime.open`. Raises FailedPrecondition when the network's name is taken by someone else."""
        version = await self._calls.open()
        self._streams.use_version(self._calls.client.api_version)
        await self._network.ensure()
        await self.list_instances()
        self._platform = f"{version['Os']}/{version['Arch']}"
        self._has_init = True
        self._has_quota = await self._may_have_quota()
        return f"Docker {version['Version']}, {self._platform}"

    async def close(self) -> None:
        """See `Runtime.close`."""
        await self._streams.close()
        await self._calls.close()

    async def ensure_instance(self, spec: InstanceSpec, *, is_live: bool) -> InstanceDetails:
        """See `Runtime.ensure_instance`."""
        details = await self._create_or_adopt(spec, is_live)
        if details.status is not InstanceStatus.CREATED:
            return details
        if not await self._start(spec, details):
            return await self.ensure_instance(spec, is_live=is_live)
        return await self._must_inspect(spec.name)

    async def pull_image(self, image_ref: str) -> None:
        """See `Runtime.pull_image`."""
        name, tag = images.split_reference(image_ref)
        try:
            async with asyncio.timeout(PULL_TIMEOUT_S):
                async for message in self._streams.pull(name, tag):
                    if "error" in message:
                        raise images.pull_failed(image_ref, str(message["error"]))
        except TimeoutError as error:
            raise images.pull_failed(image_ref, f"not complete after {PULL_TIMEOUT_S} s") from error

    async def inspect_instance(self, name: str) -> InstanceDetails | None:
        """See `Runtime.inspect_instance`."""
        try:
            raw = await self._ask("inspect", name, self._calls.client.inspect_container, name)
        except docker.errors.NotFound:
            return None
        return inspected.details(raw) if self._identity.owns(raw["Config"]["Labels"]) else None

    async def keep_running(self, name: str) -> None:
        """See `Runtime.keep_running`."""
        try:
            await self._calls.change(
                self._calls.client.update_container,
                name,
                restart_policy=_KEEP_RUNNING,
            )
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            raise _away("keep_running", name, error) from error

    async def start_instance(self, name: str) -> None:
        """See `Runtime.start_instance`."""
        try:
            await self._calls.start(self._calls.client.start, name)
        except docker.errors.APIError as error:
            await self._give_up_if_lost(name, error)
            raise _away("start", name, error) from error

    async def stop_instance(self, name: str, grace_s: int) -> None:
        """See `Runtime.stop_instance`."""
        details = await self.inspect_instance(name)
        if details is None:
            return
        # By id: the name could meanwhile belong to another container.
        if details.status in (InstanceStatus.RUNNING, InstanceStatus.RESTARTING):
            await self._streams.stop(details.container_id, grace_s)
        try:
            await self._calls.change(self._calls.client.remove_container, details.container_id, force=True, v=True)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            if error.status_code != 409:  # 409: its removal is already under way
                raise _away("remove", name, error) from error
            return
        self._network.gone(name)

    async def list_instances(self, deployment_id: str | None = None) -> Sequence[InstanceSummary]:
        """See `Runtime.list_instances`."""
        wanted = dict(self._identity.labels())
        if deployment_id is not None:
            wanted[container_spec.LABEL_DEPLOYMENT] = deployment_id
        find, asked_at = self._calls.client.containers, self._network.moment()
        found = await self._ask("list", "the instances", find, all=True, filters=_label_filter(wanted))
        ours = [
            raw
            for raw in found
            if self._identity.owns(raw["Labels"]) and container_spec.LABEL_DEPLOYMENT in raw["Labels"] and raw["Names"]
        ]
        summaries = [
            InstanceSummary(
                name=raw["Names"][0].lstrip("/"),
                deployment_id=raw["Labels"][container_spec.LABEL_DEPLOYMENT],
                replica=inspected.number(raw["Labels"].get(container_spec.LABEL_REPLICA)),
                address=inspected.network_address(raw)[0],
            )
            for raw in ours
        ]
        if deployment_id is None:
            on_it = zip(ours, summaries, strict=True)
            in_use = {
                one.name: one.address
                for raw, one in on_it
                if one.address and inspected.network_of(raw) == self._network.name
            }
            self._network.observed(in_use, asked_at)
        return summaries

    async def why_away(self) -> str:
        """See `Runtime.why_away`."""
        return await self._streams.why_away()

    async def tidy(self) -> None:
        """See `Runtime.tidy`."""
        find = self._calls.client.containers
        found = await self._ask("list", "the instances", find, all=True, filters=_label_filter(self._identity.labels()))
        await self._network.tidy({inspected.network_of(raw) for raw in found})

    async def output(self, name: str) -> str:
        """See `Runtime.output`."""
        return (await self._streams.logs(name, OUTPUT_LINES)).decode("utf-8", "backslashreplace")

    async def disk_use(self) -> Sequence[DiskUse]:
        """See `Runtime.disk_use`."""
        found = await self._streams.sizes(_label_filter(self._identity.labels()))
        return [
            DiskUse(
                name=raw["Names"][0].lstrip("/"),
                deployment_id=raw["Labels"][container_spec.LABEL_DEPLOYMENT],
                container_id=raw["Id"],
                used_bytes=raw.get("SizeRw", 0),
            )
            for raw in found
            if self._identity.owns(raw["Labels"]) and container_spec.LABEL_DEPLOYMENT in raw["Labels"] and raw["Names"]
        ]

    async def listening_addresses(self, details: InstanceDetails) -> list[tuple[str, int]] | None:
        """See `Runtime.listening_addresses`."""
        if not details.pid:
            return None
        return await self._calls.call(sockets.listening, details.pid)

    async def udp_ports(self, details: InstanceDetails) -> list[int]:
        """See `Runtime.udp_ports`."""
        return await self._calls.call(sockets.bound_udp, details.pid) if details.pid else []

    async def events(self) -> AsyncIterator[InstanceEvent]:
        """See `Runtime.events`."""
        filters = {**_label_filter(self._identity.labels()), "type": ["container"]}
        async for raw in self._streams.events(filters):
            if "error" in raw:
                raise Unavailable("engine.unavailable", f"the engine refused to show its events: {raw['error']}")
            attributes = raw.get("Actor", {}).get("Attributes", {})
            deployment_id = attributes.get(container_spec.LABEL_DEPLOYMENT)
            if deployment_id:
                code = str(attributes.get("exitCode", ""))
                yield InstanceEvent(
                    str(raw.get("Action", "")),
                    deployment_id,
                    str(attributes.get("name", "")),
                    exit_code=int(code) if code.isdecimal() else None,
                )

    async def _ask(self, action: str, name: str, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A question whose answer is the thing, or docker.errors.NotFound; any other refusal is Unavailable.

        An engine that is starting, busy or broken answers 500 now and then: it is asked again like one that is away.
        """
        try:
            return await self._calls.call(method, *args, **kwargs)
        except docker.errors.NotFound:
            raise
        except docker.errors.APIError as error:
            raise _away(action, name, error) from error

    async def _create_or_adopt(self, spec: InstanceSpec, is_live: bool) -> InstanceDetails:
        for _ in range(3):
            try:
                await self._create(spec, await self._lease(is_live))
            except NoRoomError:
                if (existing := await self._adopt(spec)) is not None:
                    return existing
                raise
            except docker.errors.NotFound as error:
                raise await self._not_found(spec, error) from error
            except docker.errors.APIError as error:
                if self._has_quota and refusals.is_quota_refused(said(error)):
                    log.info(
                        "the engine can't bound the disk of a container: it is watched", extra=fields(error=said(error))
                    )
                    self._has_quota = False
                    continue
                if error.status_code != 409:
                    no_room = refusals.shortage(said(error))
                    raise no_room or self._refused("create", spec.name, spec.command, error) from error
                if (existing := await self._adopt(spec)) is not None:
                    return existing
                continue  # it was replaced, or vanished meanwhile
            return await self._must_inspect(spec.name)
        raise Unavailable("engine.unavailable", f"container {spec.name} comes and goes; trying again")

    async def _may_have_quota(self) -> bool:
        """Whether it is worth asking: other drivers than overlay2 take a size for something else, or for nothing."""
        info: Any = await self._ask("describe", "itself", self._calls.client.info)
        return bool(info.get("Driver") == "overlay2")

    async def _gets_init(self, spec: InstanceSpec) -> bool:
        """Whether the engine's init is to be process 1: not where the image brings its own.

        Nor for an image of another architecture: a program that can't run here is named by the engine, while the init
        would have a shell try to read it.
        """
        if spec.is_process_one or not self._has_init:
            return False
        inspect: Any = self._calls.client.inspect_image
        image = await self._ask("inspect", "the image", inspect, spec.image_ref.removeprefix(ENGINE_IMAGE_PREFIX))
        config = image.get("Config") or {}
        command = [*(config.get("Entrypoint") or ()), *(spec.command or config.get("Cmd") or ())]
        is_native = image.get("Architecture", "") in ("", self._platform.partition("/")[2])
        return is_native and not brings_init(command)

    async def _lease(self, is_live: bool) -> str:
        try:
            return self._network.take(is_live=is_live)
        except NoRoomError:
            await self.list_instances()  # what was removed by other hands is free
            return self._network.take(is_live=is_live)

    async def _create(self, spec: InstanceSpec, address: str) -> None:
        try:
            init = await self._gets_init(spec)
            config = container_spec.container_config(
                spec, self._identity, self._network.name, address, init=init, has_quota=self._has_quota
            )
            await self._calls.start(self._calls.client.create_container_from_config, config, spec.name)
        except (docker.errors.APIError, Unavailable):
            self._network.settle(spec.name, address, is_made=False)
            raise
        self._network.settle(spec.name, address, is_made=True)

    async def _adopt(self, spec: InstanceSpec) -> InstanceDetails | None:
        """The container that has the name already, or None when it is out of the way now."""
        try:
            raw = await self._ask("inspect", spec.name, self._calls.client.inspect_container, spec.name)
        except docker.errors.NotFound:
            return None
        labels = raw["Config"]["Labels"]
        if not container_spec.is_same_instance(labels, spec, self._identity):
            raise FailedPrecondition(
                "instance.name_taken",
                f"container name {spec.name} is taken by a container that is not this instance (its labels differ); "
                f"remove it by hand: docker rm -f {spec.name}",
            )
        if labels.get(container_spec.LABEL_SPEC) != spec.fingerprint:
            log.info("replacing an instance whose settings changed", extra=fields(instance_id=spec.name))
            await self.stop_instance(spec.name, _REPLACE_GRACE_S)
            return None
        return inspected.details(raw)

    async def _start(self, spec: InstanceSpec, details: InstanceDetails) -> bool:
        """Starts a new container. False: it was removed, since it has to be made in another way."""
        try:
            await self._calls.start(self._calls.client.start, spec.name)
        except docker.errors.APIError as error:
            await self._give_up_if_lost(spec.name, error)
            if self._has_init and refusals.is_init_missing(said(error)):
                log.warning("the engine has no init program (docker-init): apps run without one, zombies stay")
                self._has_init = False
                await self.stop_instance(spec.name, 0)
                return False
            if no_room := refusals.shortage(said(error)):
                raise no_room from error
            raise self._refused("start", spec.name, details.command, error) from error
        return True

    async def _give_up_if_lost(self, name: str, error: docker.errors.APIError) -> None:
        """Remove a container that can never be started again; the next try makes it anew.

        An engine that was killed while it started one does not know that its process is there, and is told by
        containerd at each further try that it exists. An address that someone else's container has is not given back.
        """
        if refusals.is_lost_start(said(error)) or refusals.is_address_taken(said(error)):
            extra = fields(name=name, error=said(error))
            log.warning("a container can't be started again; making it anew", extra=extra)
            await self.stop_instance(name, 0)

    async def _not_found(self, spec: InstanceSpec, error: docker.errors.NotFound) -> Exception:
        words = said(error).lower()
        if "network" in words and self._network.name in words:
            await self._network.ensure()  # removed by hand
            return Unavailable("engine.unavailable", f"network {self._network.name} was gone; trying again")
        if "no such image" not in words:
            return self._refused("create", spec.name, spec.command, error)
        if spec.image_ref.startswith(ENGINE_IMAGE_PREFIX):
            return images.image_missing(spec.image_ref, self._identity.region)
        return ImageAbsentError(spec.image_ref)

    def _refused(self, action: str, name: str, command: Sequence[str], error: docker.errors.APIError) -> Exception:
        """What a refusal to create or start a container means for the instance."""
        words = printable(said(error), refusals.MAX_SAID_CHARS)
        found = refusals.classify(error.status_code, said(error), command=command, platform=self._platform)
        if found.kind is refusals.Kind.PERMANENT:
            return FailedPrecondition(found.code, f"the container cannot start: {found.why} (engine: {words})")
        extra = fields(instance_id=name, kind=found.kind)
        log.warning("the engine could not %s a container; trying again", action, extra=extra)
        return Unavailable(found.code, f"the engine could not {action} the container: {found.why} (engine: {words})")

    async def _must_inspect(self, name: str) -> InstanceDetails:
        details = await self.inspect_instance(name)
        if details is None:
            raise Unavailable("engine.unavailable", f"container {name} vanished right after it was made; trying again")
        return details


def _label_filter(labels: Mapping[str, str]) -> dict[str, list[str]]:
    return {"label": [f"{name}={value}" for name, value in labels.items()]}


def _away(action: str, name: str, error: docker.errors.APIError) -> Unavailable:
    return Unavailable("engine.unavailable", f"the engine could not {action} {name}: {said(error)}")
