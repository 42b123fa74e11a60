"""`DockerRuntime`: instances as containers of the Docker engine on this machine."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker.errors

from pkg.docker import EngineError
from pkg.docker.calls import EngineCalls
from pkg.docker.images import DockerImages
from pkg.docker.streams import EngineStreams
from pkg.errors import FailedPrecondition, Unavailable
from pkg.images import StoredImage
from pkg.images.config import Images, RegistryLogin
from svc.krane.config import KraneConfig
from svc.krane.runtime.docker import inspected, sockets
from svc.krane.runtime.docker.container_spec import Identity
from svc.krane.runtime.docker.containers import Containers
from svc.krane.runtime.docker.creation import Creation
from svc.krane.runtime.docker.disk import DiskWatch
from svc.krane.runtime.docker.exec import ContainerExecs
from svc.krane.runtime.docker.init import output_of
from svc.krane.runtime.docker.instance_images import InstanceImages
from svc.krane.runtime.docker.jobs import JobContainers
from svc.krane.runtime.docker.network import RegionNetwork
from svc.krane.runtime.docker.pulls import ImagePulls
from svc.krane.runtime.docker.slots import StartSlots
from svc.krane.runtime.execs import ExecProcess, ExecSpec
from svc.krane.runtime.port import (
    CandidatePorts,
    DeploymentSpec,
    EventKind,
    InstanceEvent,
    InstanceRef,
    InstanceStatus,
    InstanceUsage,
    JobObservation,
    JobRef,
    JobSpec,
    LogRecord,
    Observation,
    Output,
    RuntimeContext,
    WantedReplicas,
    instance_name,
)

log = logging.getLogger(__name__)

MAX_EVENTS = 1000  # that wait to be taken; those beyond are dropped, and the next resync finds what they reported
_KEEP_RUNNING: Any = {"Name": "unless-stopped", "MaximumRetryCount": 0}


class DockerRuntime:
    """The `Runtime` of one installation and region on one engine. `open` comes first.

    `network`, `address_pool`, `unusable`: see `RegionNetwork`. `logins`: see `ImagePulls`. `allowed`: see
    `InstanceImages`. `cgroup_parent`: see `Creation`.
    """

    def __init__(
        self,
        socket_path: str,
        identity: Identity,
        network: str,
        *,
        address_pool: IPv4Network | None = None,
        unusable: Callable[[], frozenset[str] | None] = frozenset,
        logins: Sequence[RegistryLogin] = (),
        allowed: Images = Images(),  # noqa: B008 - immutable
        cgroup_parent: str = "",
    ) -> None:
        self._events: asyncio.Queue[InstanceEvent] = asyncio.Queue(MAX_EVENTS)
        self._calls = EngineCalls(socket_path)
        self._streams = EngineStreams(socket_path)
        self._network = RegionNetwork(self._calls, identity, network, address_pool, unusable)
        self._containers = Containers(self._calls, self._streams, self._network, identity)
        self._pulls = ImagePulls(self._streams, lambda id_: self._tell(InstanceEvent(EventKind.CHANGED, id_)), logins)
        self._disk = DiskWatch(self._containers.disk_use, self._tell)
        images, slots = InstanceImages(self._calls, self._containers, self._pulls, allowed), StartSlots()
        shared = (self._calls, self._containers, self._network, images, slots, self.list_instances, cgroup_parent)
        self._creation, self._jobs = Creation(*shared), JobContainers(*shared)
        self._images = DockerImages(Path(socket_path))
        self._execs = ContainerExecs(socket_path)
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> str:
        """See `Runtime.open`. Raises FailedPrecondition when the network's name is taken by someone else."""
        version = await self._calls.open()
        self._streams.use_version(self._calls.client.api_version)
        await self._network.ensure()
        await self.list_instances()
        info: Any = await self._containers.ask("describe", "itself", self._calls.client.info)
        platform = f"{version['Os']}/{version['Arch']}"
        self._creation.use(platform=platform, storage_driver=info.get("Driver", ""))
        self._jobs.use(platform=platform, storage_driver=info.get("Driver", ""))
        await self._execs.end_left(await self._containers.with_execs())
        if self._watching is None:
            self._watching = asyncio.create_task(self._disk.run(), name="watch the disk")
        return f"Docker {version['Version']}, {platform}"

    async def check(self) -> str:
        """See `Runtime.check`."""
        return await self._streams.why_away()

    async def close(self) -> None:
        """See `Runtime.close`."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._pulls.close()
        await self._execs.close()
        await self._streams.close()
        await self._calls.close()

    async def wanted_replicas(self, spec: DeploymentSpec) -> WantedReplicas:
        """See `Runtime.wanted_replicas`: a fixed number."""
        if spec.bounds is None or not spec.replicas:
            return WantedReplicas(spec.replicas)
        notice = (
            f"a Docker engine has no autoscaler, so min_replicas = {spec.replicas} instances run, whatever the load"
        )
        return WantedReplicas(spec.replicas, notice)

    async def apply(
        self, spec: DeploymentSpec, replica: int, seen: Observation | None, *, is_live: bool, keep_running: bool = False
    ) -> Observation:
        """See `Runtime.apply`."""
        self._disk.set_bound(spec.deployment_id, spec.disk_mib)
        if keep_running and seen is not None and seen.revision == spec.revision and not seen.is_broken:
            return await self._keep_running(seen)
        return await self._creation.apply(spec, replica, seen, is_live=is_live)

    async def delete(self, deployment_id: str, name: str, *, grace_s: int, is_replaced: bool = False) -> None:
        """See `Runtime.delete`."""
        await self._containers.remove(name, grace_s)

    async def observe(self, deployment_id: str, replica: int) -> Observation | None:
        """See `Runtime.observe`."""
        return await self._containers.inspect(instance_name(deployment_id, replica))

    async def list_instances(self, deployment_id: str | None = None) -> Sequence[InstanceRef]:
        """See `Runtime.list_instances`."""
        asked_at = self._network.moment()
        found = await self._containers.find(deployment_id)
        refs = [inspected.ref(raw) for raw in found]
        if deployment_id is None:
            in_use = {
                one.name: one.address
                for raw, one in zip(found, refs, strict=True)
                if one.address and inspected.network_of(raw) == self._network.name
            }
            self._network.observed(in_use, asked_at)
        return refs

    async def events(self) -> AsyncIterator[InstanceEvent]:
        """See `Runtime.events`."""
        following = asyncio.create_task(self._follow_engine(), name="follow the engine's events")
        try:
            while True:
                next_event = asyncio.create_task(self._events.get())
                try:
                    await asyncio.wait({following, next_event}, return_when=asyncio.FIRST_COMPLETED)
                    if not next_event.done():
                        await following
                        return
                    yield next_event.result()
                finally:
                    next_event.cancel()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def output(self, name: str) -> Output:
        """See `Runtime.output`."""
        return output_of(await self._containers.output(name))

    async def logs(self, name: str, uid: str, since_s: int) -> AsyncGenerator[list[LogRecord]]:
        """See `Runtime.logs`."""
        async with aclosing(self._containers.logs(uid, since_s)) as chunks:
            async for records in chunks:
                yield records

    async def exec(self, name: str, uid: str, spec: ExecSpec) -> ExecProcess:
        """See `Runtime.exec`."""
        seen = await self._containers.inspect(name)
        if seen is None or seen.uid != uid or seen.status is not InstanceStatus.RUNNING:
            raise FailedPrecondition("exec.not_running", f"the instance {name} does not run")
        return await self._execs.start(name, uid, self._containers.pid(uid), spec)

    async def usage(self) -> Sequence[InstanceUsage]:
        """See `Runtime.usage`."""
        return await self._containers.usage()

    async def candidate_ports(self, seen: Observation) -> CandidatePorts:
        """See `Runtime.candidate_ports`. krane sees the host's processes, and their sockets by /proc."""
        pid = self._containers.pid(seen.uid)
        listening = await self._calls.call(sockets.listening, pid) if pid else None
        of_app = None if listening is None else tuple(sockets.of_app(listening))
        udp = await self._calls.call(sockets.bound_udp, pid) if pid and not of_app else []
        return CandidatePorts(of_app, tuple(udp), self._containers.exposed_ports(seen.uid))

    async def start_job(self, spec: JobSpec) -> JobObservation:
        """See `Runtime.start_job`."""
        return await self._jobs.start(spec)

    async def observe_job(self, spec: JobSpec) -> JobObservation | None:
        """See `Runtime.observe_job`."""
        return await self._jobs.observe(spec)

    async def stop_job(self, spec: JobSpec, *, grace_s: int) -> None:
        """See `Runtime.stop_job`."""
        await self._jobs.stop(spec, self._streams, grace_s)

    async def list_jobs(self) -> Sequence[JobRef]:
        """See `Runtime.list_jobs`."""
        return await self._jobs.list_jobs()

    async def remove_job(self, job_id: str) -> None:
        """See `Runtime.remove_job`."""
        await self._jobs.remove(job_id)

    async def list_images(self) -> Sequence[StoredImage]:
        """See `Runtime.list_images`."""
        try:
            return await self._images.list_images(self._containers.identity.installation_id)
        except EngineError as error:
            raise Unavailable("engine.unavailable", str(error)) from error

    async def delete_image(self, image: StoredImage) -> bool:
        """See `Runtime.delete_image`."""
        try:
            return await self._images.delete_image(image)
        except EngineError as error:
            raise Unavailable("engine.unavailable", str(error)) from error

    async def collect_garbage(self) -> None:
        """See `Runtime.collect_garbage`: networks of an earlier form, pulls that nobody waits for."""
        networks, deployments = await self._containers.in_use()
        await self._network.remove_old(networks)
        await self._pulls.drop_unwanted()
        self._disk.forget_all_but(deployments)

    async def _keep_running(self, seen: Observation) -> Observation:
        if seen.status is InstanceStatus.EXITED:
            await self._creation.start(seen)
        elif not seen.is_kept_running:
            update: Any = self._calls.client.update_container
            try:
                await self._calls.change(update, seen.uid, restart_policy=_KEEP_RUNNING)
            except docker.errors.NotFound:
                pass
            except docker.errors.APIError as error:
                raise self._containers.away("keep", seen.name, error) from error
        else:
            return seen
        return await self._containers.must_inspect(seen.name)

    async def _follow_engine(self) -> None:
        """Hands the engine's events on until the stream ends. Raises Unavailable when it breaks."""
        filters = {**self._containers.filters, "type": ["container"]}
        async for raw in self._streams.events(filters):
            if "error" in raw:
                raise Unavailable("engine.unavailable", f"the engine refused to show its events: {raw['error']}")
            event = inspected.event(raw)
            if event is not None:
                await self._events.put(event)

    def _tell(self, event: InstanceEvent) -> None:
        if not self._events.full():
            self._events.put_nowait(event)


def make(config: KraneConfig, context: RuntimeContext) -> DockerRuntime:
    """The runtime of `[docker]`."""
    return DockerRuntime(
        str(config.docker.socket),
        Identity(context.installation_id, config.region),
        config.docker.network,
        address_pool=config.docker.range,
        unusable=context.unusable_addresses,
        logins=config.registries,
        allowed=config.images,
        cgroup_parent=config.docker.cgroup_parent,
    )
