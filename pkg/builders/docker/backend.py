"""Builds with a Docker engine's BuildKit."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pkg.builders.docker import memory
from pkg.builders.docker.free_space import CopyingSteps, FreeSpace
from pkg.builders.docker.progress import Progress
from pkg.builders.docker.push import EnginePush
from pkg.builders.port import BuildSink, BuildSpec, BuiltImage
from pkg.builders.project_cache import project_cache
from pkg.builders.pushed_image import exposed_ports, platform_of
from pkg.buildkit import (
    ChannelLostError,
    NotBegunError,
    Redactor,
    Solve,
    SolveError,
    engine_channel,
    features,
    open_session,
    solve,
    wait_ready,
)
from pkg.buildkit.status import Event
from pkg.builds import ended_steps
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.clock import now_ms
from pkg.docker import Engine
from pkg.images import ImageRef
from pkg.registry import Credentials, RegistryConfig
from pkg.telemetry.events import BuildLine

CHECK_TIMEOUT_S = 3.0

log = logging.getLogger(__name__)


class DockerBuilder:
    """`port.Builder` on the engine at `socket`. Holds no connection between builds."""

    name = "the Docker engine"

    def __init__(
        self,
        socket: Path,
        *,
        cgroup: str = "",
        registry: RegistryConfig | None = None,
        free_space: FreeSpace | None = None,
        hang_report: Path | None = None,
        ended_steps: Path | None = None,
    ) -> None:
        """A builder on one engine.

        Args:
            socket: of the engine.
            cgroup: of this machine, in which all of the engine's builds run and are bounded; "" if that is not known.
            registry: to push to; None: images stay on the engine.
            free_space: what builds leave of the engine's disk; None: that is not bounded.
            hang_report: where a BuildKit that hangs is reported to who restarts the engine; None if nobody does.
            ended_steps: where who ends steps at a bound writes which ones; None if nobody does.
        """
        self._engine = Engine(socket)
        self._registry = registry
        self._push = EnginePush(socket, registry) if registry else None
        self._cgroup = cgroup
        self._free_space = free_space or FreeSpace()
        self._progress = Progress(hang_report)
        self._ended_steps = ended_steps

    async def build(self, spec: BuildSpec, sink: BuildSink) -> BuiltImage:
        """See `Builder.build`. The image is tagged `spec.image_name` on the engine, so that no prune removes it."""
        ends_at = time.monotonic() + spec.timeout_s
        registry = self._registry
        account = Credentials(registry.username, registry.password).secrets() if registry else []
        redactor = Redactor([*spec.secrets.values(), *account])
        copying = CopyingSteps()

        async def pass_on(events: Sequence[Event]) -> None:
            for event in events:
                if isinstance(event, BuildLine):
                    await sink.line(event.step_id, event.stream, event.text)
                else:
                    self._progress.moved()
                    copying.note(event)
                    await sink.step(event)

        try:
            async with (
                engine_channel(self._engine.socket) as channel,
                open_session(channel, secrets=spec.secrets) as session_id,
            ):
                if spec.is_shared and (problem := (await features(channel)).isolation_problem):
                    raise BuildFailed(FailureKind.ISOLATION, problem)
                why_ended = ended_steps.watch(self._ended_steps, now_ms())
                request = _solve(spec, session_id, memory.watch(self._cgroup), why_ended)
                solving = solve(channel, request, redactor, pass_on)
                answer = await self._free_space.hold(solving, copying)
            image = await self._verify(spec, answer.get("containerimage.digest", ""))
            if self._push is None:
                return image
            digest = await self._push.push(spec.image_name, sink, redactor, ends_at - time.monotonic())
            return replace(image, image_ref=ImageRef(spec.image_name.repository, digest=digest))
        except NotBegunError as e:
            raise BuilderUnavailable(e.kind, self._progress.explain(e, spec.build_id)) from None
        except SolveError as e:
            log.info("build failed: %s", e.kind, extra={"build_id": spec.build_id, "detail": e.text})
            if e.kind.is_ours:
                raise BuilderUnavailable(e.kind, e.message) from None
            raise BuildFailed(e.kind, e.message, exit_code=e.exit_code, line=e.line) from None
        except (ChannelLostError, OSError) as e:
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, redactor.text(str(e))) from e

    async def check(self) -> None:
        """See `Builder.check`: the engine answers, the BuildKit in it has a worker, and the registry takes pushes."""
        try:
            async with engine_channel(self._engine.socket) as channel:
                await wait_ready(channel, CHECK_TIMEOUT_S)
        except (ChannelLostError, OSError) as e:
            why = f"BuildKit of the engine at {self._engine.socket} does not answer: {e}"
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, why) from e
        if self._push is not None:
            await self._push.check()

    async def close(self) -> None:
        """See `Builder.close`. There is nothing to release."""

    async def _verify(self, spec: BuildSpec, digest: str) -> BuiltImage:
        # the engine has to confirm it, not only BuildKit: an instance is started from this id
        image = await self._engine.image(str(spec.image_name))
        if image is None:
            raise BuilderUnavailable(
                FailureKind.BUILDER_LOST,
                f"the engine has no image {spec.image_name} although it was built: was it removed in between?",
            )
        if digest and image["Id"] != digest:
            # the tag is ours alone and names this build: another image under it is a newer attempt's
            raise BuilderUnavailable(
                FailureKind.BUILDER_LOST,
                f"{spec.image_name} is {image['Id']} and not {digest}: another attempt built it, too",
            )
        return _built(spec, image)


def _solve(
    spec: BuildSpec, session_id: str, memory_ran_out: Callable[[], int], why_ended: Callable[[str], str]
) -> Solve:
    attrs = {"context": spec.sign_context_url(with_etag=False), "filename": spec.dockerfile_path}
    if spec.target:
        attrs["target"] = spec.target
    if spec.platform:
        attrs["platform"] = spec.platform
    if spec.no_cache:
        attrs["no-cache"] = ""
    attrs |= {f"build-arg:{name}": value for name, value in spec.build_args.items()}
    attrs |= project_cache(spec.project_id, spec.image_name)
    attrs |= {f"label:{name}": value for name, value in spec.labels.items()}
    return Solve(
        frontend_attrs=attrs,
        exporter="moby",
        exporter_attrs={"name": str(spec.image_name)},
        session_id=session_id,
        timeout_s=spec.timeout_s,
        traceparent=spec.traceparent,
        memory_ran_out=memory_ran_out,
        why_ended=why_ended,
    )


def _built(spec: BuildSpec, image: dict[str, Any]) -> BuiltImage:
    return BuiltImage(
        image_ref=ImageRef.on_engine(image["Id"]),
        name=spec.image_name,
        platform=platform_of(image.get("Os"), image.get("Architecture")),
        size_bytes=int(image.get("Size") or 0),
        exposed_ports=exposed_ports(image.get("Config") or {}),
    )
