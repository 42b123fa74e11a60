"""Runs one solve and follows its status."""

import asyncio
import secrets as random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from pkg.buildkit import remedies
from pkg.buildkit.channel import stub
from pkg.buildkit.errors import NotBegunError, SolveError, from_rpc
from pkg.buildkit.follow import Follower, OnEvents
from pkg.buildkit.messages import Facts
from pkg.buildkit.pb import control_pb2 as pb
from pkg.buildkit.status import MAX_NAME_CHARS, Tracker
from pkg.builds.failures import FailureKind
from pkg.output.redact import Redactor

CLOSING_TIMEOUT_S = 1  # for the last events of a cancelled build
BEGIN_TIMEOUT_S = 60.0  # a healthy daemon reports within milliseconds that it loads the context
MAX_TIMEOUT_S = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Solve:
    """What to build.

    Attributes:
        frontend_attrs: of dockerfile.v0: "context" (a URL), "filename", "target", "platform", "build-arg:X", "label:X".
        exporter: "moby" for a Docker engine's own image store, "image" elsewhere.
        exporter_attrs: e.g. "name".
        cache_exports: type and attributes of each cache to write, e.g. ("registry", {"ref": ...}).
        session_id: of the open session.
        timeout_s: of the whole solve; the daemon stops the build after it.
        traceparent: W3C trace context, or "".
        memory_ran_out: called when the build failed: the MiB that builds may use if they ran out, else 0.
        why_ended: called with the names that the failed step has, a line each: the line that says at which bound it
            was ended (`pkg.builds.bounds`), which its output may lack; "" if nobody ended it.
    """

    frontend_attrs: Mapping[str, str] = field(repr=False)  # holds a signed URL
    exporter: str
    exporter_attrs: Mapping[str, str]
    session_id: str
    cache_exports: Sequence[tuple[str, Mapping[str, str]]] = ()
    timeout_s: float = MAX_TIMEOUT_S
    traceparent: str = ""
    memory_ran_out: Callable[[], int] = lambda: 0
    why_ended: Callable[[str], str] = lambda _step_name: ""


async def solve(channel: grpc.aio.Channel, build: Solve, redactor: Redactor, on_events: OnEvents) -> dict[str, str]:
    """Builds. Returns the exporter's answer ("containerimage.digest": ...).

    `on_events` gets steps and lines as they happen, in order, one call at a time; an error it raises ends the build and
    comes out. A line says where output is missing that the daemon did not send. Cancelling this coroutine stops the
    running command within about 0.2 s.

    Raises:
        SolveError: the build failed, or the daemon was lost.
        NotBegunError: the daemon did not begin within BEGIN_TIMEOUT_S: a build that was cut off early may leave
            BuildKit's scheduler in a loop, and then it takes builds and begins none until it is restarted (seen with
            Docker 20.10; https://github.com/moby/buildkit/issues/2526).
    """
    tracker = Tracker(redactor)
    ref = random.token_hex(13)
    control = stub(channel)
    follower = Follower(control, ref, tracker, on_events)
    ends_by = asyncio.get_running_loop().time() + build.timeout_s

    metadata = (("traceparent", build.traceparent),) if build.traceparent else None

    async def ask() -> pb.SolveResponse:
        answer: pb.SolveResponse = await control.Solve(_request(ref, build), timeout=build.timeout_s, metadata=metadata)
        return answer

    # the status first: a late subscriber of Docker 20.10 misses what went before
    following = asyncio.create_task(follower.run(), name="buildkit-status")
    asking = asyncio.create_task(ask(), name="buildkit-solve")
    try:
        await _wait_for_start(follower.started, asking, following)
        if following.done():
            following.result()
        while not asking.done():
            # the status may end a moment earlier, or its consumer may fail
            await asyncio.wait(
                {asking} if following.done() else {asking, following}, return_when=asyncio.FIRST_COMPLETED
            )
            if following.done():
                following.result()
        succeeded = asking.exception() is None
        await follower.settle(following, succeeded=succeeded, ends_by=ends_by)
    except BaseException:
        await _stop(asking, following)
        with suppress(Exception):
            async with asyncio.timeout(CLOSING_TIMEOUT_S):
                if events := tracker.finish():
                    await on_events(events)
        raise
    await _stop(following)
    if events := [*tracker.finish(succeeded=succeeded), *follower.missing(succeeded=succeeded)]:
        await on_events(events)
    try:
        return dict(asking.result().ExporterResponse)
    except grpc.aio.AioRpcError as e:
        raise _error(e, build, tracker, redactor) from None


async def _wait_for_start(started: asyncio.Event, *tasks: asyncio.Task[Any]) -> None:
    """Returns at the first event of the build, or when one of the tasks has ended."""
    waiting = asyncio.create_task(started.wait(), name="buildkit-begin")
    try:
        done, _ = await asyncio.wait({waiting, *tasks}, timeout=BEGIN_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if not done:
        raise NotBegunError(
            FailureKind.BUILDER_LOST,
            f"the builder took the build and did not start it within {BEGIN_TIMEOUT_S:.0f} s; if that happens again, "
            "restart the Docker engine (or buildkitd): it hangs",
            waited_s=BEGIN_TIMEOUT_S,
        )


def _request(ref: str, build: Solve) -> pb.SolveRequest:
    return pb.SolveRequest(
        Ref=ref,
        Frontend="dockerfile.v0",
        FrontendAttrs=build.frontend_attrs,
        Session=build.session_id,
        # Docker 20.10 knows only the first pair, newer daemons prefer the second
        ExporterDeprecated=build.exporter,
        ExporterAttrsDeprecated=build.exporter_attrs,
        Exporters=[pb.Exporter(Type=build.exporter, Attrs=build.exporter_attrs)],
        Cache=pb.CacheOptions(
            Exports=[pb.CacheOptionsEntry(Type=kind, Attrs=attrs) for kind, attrs in build.cache_exports]
        ),
        Internal=True,  # else the daemon's history keeps the context's signed URL and every build argument
    )


def _error(error: grpc.aio.AioRpcError, build: Solve, tracker: Tracker, redactor: Redactor) -> SolveError:
    attrs = build.frontend_attrs
    step = tracker.failed_step()
    # The daemon may lose what it says of a step that prints too much, its end included.
    failed_run = remedies.failed_run(redactor.text(error.details() or ""))
    ended = build.why_ended(f"{step.name if step else ''}\n{failed_run}") if step or failed_run else ""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        # A step that was ended, and whose end the daemon did not come to report in time.
        reasons = ((one, build.why_ended(one.name)) for one in tracker.cancelled_steps())
        step, ended = next((found for found in reasons if found[1]), (step, ended))
    output = tracker.output_of(step) if step else ()
    facts = Facts(
        dockerfile_path=attrs.get("filename", "Dockerfile"),
        target=attrs.get("target", ""),
        platform=attrs.get("platform", ""),
        timeout_s=build.timeout_s,
        failed_step=step.name if step else failed_run[:MAX_NAME_CHARS],
        memory_mib=build.memory_ran_out(),
        output=(*output, ended) if ended else output,
    )
    return from_rpc(error, facts, redactor)


async def _stop(*tasks: asyncio.Task[object] | asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
