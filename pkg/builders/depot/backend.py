"""Builds on machines of Depot."""

import asyncio
import dataclasses
import logging
from typing import NoReturn

from pkg.builders.port import CANCELLED_BY_USER, BuildSink, BuildSpec, BuiltImage
from pkg.builders.pushing import SbomScanner, build_and_push
from pkg.builders.repository_login import check_account
from pkg.buildkit import ChannelLostError
from pkg.buildkit.messages import Facts, explain
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.depot.api import DepotApi, DepotBuild, open_api
from pkg.depot.config import DepotConfig
from pkg.depot.machine import Timing, acquire, connect, keep, unless, watch
from pkg.depot.projects import DepotProjects
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.output.redact import Redactor
from pkg.registry import RegistryConfig
from pkg.telemetry.events import LogStream

DEFAULT_PLATFORM = "linux/amd64"
INTERRUPTED = "interrupted: the worker stopped"
END_TIMEOUT_S = 90.0  # for the release and the outcome
END_WAIT_S = 5.0  # how long a build waits for them; they go on without it

log = logging.getLogger(__name__)


class DepotBuilder:
    """`port.Builder` on machines of Depot. Holds nothing between builds."""

    name = "Depot"

    def __init__(
        self,
        config: DepotConfig,
        registry: RegistryConfig,
        projects: DepotProjects,
        *,
        sbom_scanner: str,
        timing: Timing | None = None,
    ) -> None:
        """A builder with the organisation's token, which pushes to `registry`."""
        self._config = config
        self._registry = registry
        self._projects = projects
        self._scanner = SbomScanner(sbom_scanner)
        self._timing = timing or Timing()
        self._ending: set[asyncio.Task[None]] = set()

    async def build(self, spec: BuildSpec, sink: BuildSink) -> BuiltImage:
        """See `Builder.build`. Every build that was begun at Depot is ended there, and its machine released."""
        ends_by = asyncio.get_running_loop().time() + spec.timeout_s
        # a machine has the builds and the cache of one project
        spec = dataclasses.replace(spec, is_shared=False)
        async with open_api(self._config) as api:
            build = await self._begin(api, spec, sink)
            heartbeats = asyncio.create_task(keep(self._config, build, self._timing), name="depot-heartbeats")
            outcome = INTERRUPTED
            try:
                image = await unless(self._work(api, build, spec, sink, ends_by), _raised_by(heartbeats))
                outcome = ""
                return image
            except asyncio.CancelledError as cancelled:
                outcome = _reason(cancelled)
                raise
            except SealiftError as error:
                outcome = error.message
                raise
            except Exception as error:
                outcome = f"the worker failed ({type(error).__name__})"  # its text may hold anything
                raise
            finally:
                await self._end(build, heartbeats, outcome)

    async def check(self) -> None:
        """See `Builder.check`: Depot takes the token, and the account may push."""
        async with open_api(self._config) as api:
            try:
                await api.projects()
            except BuildFailed as refused:
                raise BuilderUnavailable(refused.kind, refused.message) from None
        await check_account(self._registry)

    async def close(self) -> None:
        """See `Builder.close`. Machines are released first."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=END_WAIT_S)
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _begin(self, api: DepotApi, spec: BuildSpec, sink: BuildSink) -> DepotBuild:
        """Makes the build in the project's project, which is looked for once more when Depot does not know it."""
        depot_project_id = await self._projects.ensure(api, spec.project_id)
        architecture = (spec.platform or DEFAULT_PLATFORM).partition("/")[2]
        try:
            return await self._create(api, depot_project_id, architecture)
        except BuildFailed as refused:
            if refused.kind is not FailureKind.BUILDER_NOT_FOUND:
                raise
        await sink.line("", LogStream.SYSTEM, f"Depot has no project {depot_project_id} any more: using another one")
        log.warning(
            "the project at Depot is gone", extra=fields(project_id=spec.project_id, depot_project_id=depot_project_id)
        )
        await self._projects.forget(spec.project_id, depot_project_id)
        return await self._create(api, await self._projects.ensure(api, spec.project_id), architecture)

    async def _create(self, api: DepotApi, depot_project_id: str, architecture: str) -> DepotBuild:
        """Begins a build. A cancel waits for the answer, so that a build that Depot has begun is ended there."""
        creating = asyncio.create_task(api.create_build(depot_project_id, architecture), name="depot-create")
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError as cancelled:
            await asyncio.wait({creating}, timeout=END_WAIT_S)
            if creating.done() and creating.exception() is None:
                await self._end(creating.result(), None, _reason(cancelled))
            raise
        finally:
            creating.cancel()

    async def _work(
        self, api: DepotApi, build: DepotBuild, spec: BuildSpec, sink: BuildSink, ends_by: float
    ) -> BuiltImage:
        def at_most(seconds: float) -> float:
            return min(seconds, max(1.0, ends_by - asyncio.get_running_loop().time()))

        timing = self._timing
        endpoint = await acquire(api, build, at_most(timing.endpoint_s))
        secrets = [self._config.access_token.reveal().encode(), build.token.encode(), endpoint.key]
        redactor = Redactor(secrets)
        try:
            async with connect(endpoint, timing, at_most(timing.ready_s)) as channel:
                platform = f"linux/{build.architecture}"
                said = f"build {build.build_id}, platform {platform}, architecture {build.architecture}"
                await sink.line("", LogStream.SYSTEM, f"acquired a machine of Depot: {said}")
                log.info(
                    "acquired a machine of Depot",
                    extra=fields(
                        build_id=spec.build_id,
                        depot_build_id=build.build_id,
                        platform=platform,
                        architecture=build.architecture,
                    ),
                )
                building = build_and_push(channel, spec, sink, self._registry, scanner=self._scanner, secrets=secrets)
                # the solve has the whole time as its limit, of which the wait for the machine has taken some
                async with asyncio.timeout_at(ends_by):
                    return await unless(building, watch(channel, timing))
        except TimeoutError:
            why = explain(FailureKind.TIMED_OUT, Facts(timeout_s=spec.timeout_s))
            raise BuildFailed(FailureKind.TIMED_OUT, why) from None
        except ChannelLostError as lost:
            why = f"the machine of Depot was lost: {redactor.text(str(lost))}"
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, why) from None

    async def _end(self, build: DepotBuild, heartbeats: "asyncio.Task[NoReturn] | None", outcome: str) -> None:
        """Ends the build at Depot in a task of its own: neither a second cancel nor a slow Depot is in its way."""
        ending = asyncio.create_task(self._release_and_finish(build, heartbeats, outcome), name="depot-end")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        await asyncio.wait({ending}, timeout=END_WAIT_S)

    async def _release_and_finish(
        self, build: DepotBuild, heartbeats: "asyncio.Task[NoReturn] | None", outcome: str
    ) -> None:
        extra = fields(depot_build_id=build.build_id)
        try:
            async with asyncio.timeout(END_TIMEOUT_S), open_api(self._config) as api:
                try:
                    await api.release(build)
                except SealiftError as error:
                    log.warning("machine of Depot not released: %s", error.message, extra=extra)
                finally:
                    if heartbeats is not None:
                        heartbeats.cancel()
                await api.finish_build(build, outcome)
        except SealiftError as error:
            log.warning("outcome not told to Depot: %s", error.message, extra=extra)
        except TimeoutError:
            log.warning("build not ended at Depot within %g s", END_TIMEOUT_S, extra=extra)
        finally:
            if heartbeats is not None:
                heartbeats.cancel()
                await asyncio.gather(heartbeats, return_exceptions=True)


def _reason(cancelled: asyncio.CancelledError) -> str:
    return CANCELLED_BY_USER if CANCELLED_BY_USER in cancelled.args else INTERRUPTED


async def _raised_by(heartbeats: "asyncio.Task[NoReturn]") -> NoReturn:
    """The heartbeats' error. A cancel ends the wait alone: they go on until the machine is released."""
    await asyncio.shield(heartbeats)
