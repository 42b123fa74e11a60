"""The engine's own push of an image, told as one step of the build.

The engine gets the registry's account with this one call, and never the build's session: a Dockerfile can't use it.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pkg.builders.port import BuildSink
from pkg.builders.push_failures import PUSH, push_failure, push_failure_of_text
from pkg.builders.repository_login import check_account, registry_client
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.docker.streams import EngineStreams
from pkg.errors import Unavailable
from pkg.images import ImageRef
from pkg.images.config import RegistryLogin
from pkg.output.redact import Redactor
from pkg.registry import RegistryConfig, RegistryError, RegistryProblem
from pkg.registry.client import repository_of
from pkg.registry.errors import failure
from pkg.telemetry.events import BuildStep, LogStream, StepState

STEP_ID = "push"
# A registry that takes a large layer is silent while it stores it.
MAX_SILENCE_S = 300.0
PROGRESS_S = 10.0
# What a registry may ask to wait (429, Retry-After) within one attempt.
MAX_WAIT_S = 120
MIB = 1024 * 1024
_DIGEST = re.compile(r": digest: (sha256:[0-9a-f]{64})\b")

# What the registry itself has said. Whether this process reaches it says little about the engine.
_ANSWERS = frozenset({
    RegistryProblem.UNAUTHORIZED, RegistryProblem.DENIED, RegistryProblem.NO_REPOSITORY, RegistryProblem.RATE_LIMITED,
    RegistryProblem.FULL, RegistryProblem.OTHER_SCHEME,
})  # fmt: skip


class EnginePush:
    """Pushes images of the engine at `socket` to one registry. Holds no connection between pushes."""

    def __init__(self, socket: Path, registry: RegistryConfig) -> None:
        self._socket = socket
        self._registry = registry

    async def check(self) -> None:
        """See `check_account`."""
        await check_account(self._registry)

    async def _try(self, name: ImageRef) -> None:
        async with registry_client(self._registry, PUSH) as client:
            await client.check_push(repository_of(name))

    async def push(self, name: ImageRef, sink: BuildSink, redactor: Redactor, timeout_s: float) -> str:
        """Pushes the image, reports a step, and returns the digest of its manifest ("sha256:...").

        Repeating it is cheap: the registry keeps the layers that it has. Cancelling the coroutine ends the push.

        Args:
            name: repository in the registry, and tag; the image has it on the engine.
            sink: gets the step, a line for each layer, and one on progress every 10 s.
            redactor: of what the engine says.
            timeout_s: of the whole push.

        Raises:
            BuildFailed: another attempt would fail, too.
            BuilderUnavailable: the engine or the registry is away.
        """
        step = BuildStep(STEP_ID, f"push {name}", StepState.STARTED, started_at=_now_ms())
        await sink.step(step)
        try:
            digest = await self._push_within(timeout_s, name, _Report(sink, redactor))
        except asyncio.CancelledError:
            await sink.step(_ended(step, StepState.CANCELLED))
            raise
        except (BuildFailed, BuilderUnavailable) as error:
            await sink.step(_ended(step, StepState.FAILED, error.message))
            raise
        await sink.step(_ended(step, StepState.COMPLETED))
        return digest

    async def _push_within(self, timeout_s: float, name: ImageRef, report: "_Report") -> str:
        try:
            async with asyncio.timeout(timeout_s):
                await self._ask_first(name, report)
                return await self._push(name, report)
        except TimeoutError:
            raise BuildFailed(
                FailureKind.TIMED_OUT,
                f"The image was built, but the time limit of the build ended while it was pushed to {name.repository}. "
                "Make its layers smaller, or ask the operator to raise the build timeout.",
            ) from None

    async def _ask_first(self, name: ImageRef, report: "_Report") -> None:
        """Raises what the registry refuses. The engine would repeat it for a minute and then not quote the reason."""
        waited_s = 0
        while True:
            try:
                await self._try(name)
                return
            except RegistryError as error:
                if error.problem not in _ANSWERS:
                    return  # for the engine to find out
                wait_s = error.retry_after_s or 0
                if error.problem is not RegistryProblem.RATE_LIMITED or not 0 < wait_s <= MAX_WAIT_S - waited_s:
                    raise push_failure(error) from error
            await report.waits(wait_s)
            waited_s += wait_s
            await asyncio.sleep(wait_s)

    async def _push(self, name: ImageRef, report: "_Report") -> str:
        redactor, streams = report.redactor, EngineStreams(str(self._socket))
        login = RegistryLogin(
            host=self._registry.host, username=self._registry.username, password=self._registry.password
        )
        digest = ""
        try:
            async with aclosing(streams.push(name.repository, name.tag, login)) as messages:
                while (message := await _next(messages, name)) is not None:
                    if "error" in message:
                        raise await self._failure(redactor.text(str(message["error"])), name)
                    digest = _digest(message) or digest
                    await report.feed(message)
        except BuilderUnavailable:
            raise
        except Unavailable as away:
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, redactor.text(away.message)) from away
        finally:
            await streams.close()
        if not digest:
            said = "the engine ended the push without a digest"
            raise push_failure(failure(RegistryProblem.UNAVAILABLE, name.repository, PUSH, said=said))
        await report.end(digest)
        return digest

    async def _failure(self, text: str, name: ImageRef) -> BuildFailed | BuilderUnavailable:
        if "does not exist locally" in text:
            return BuilderUnavailable(
                FailureKind.BUILDER_LOST, f"the engine has no image {name} to push: was it removed in between?"
            )
        found = push_failure_of_text(text, name.repository)
        if found.kind in (FailureKind.PUSH_REGISTRY_AWAY, FailureKind.PUSH_FAILED):
            try:  # the engine does not pass on why: a full disk looks like any other fault
                await self._try(name)
            except RegistryError as error:
                if error.problem in _ANSWERS:
                    return push_failure(error)
        return found


def _digest(message: dict[str, Any]) -> str:
    """The image's digest, when the message has it: "aux" has it too, but not with containerd's image store."""
    found = _DIGEST.search(str(message.get("status", "")))
    return found[1] if found else ""


async def _next(messages: AsyncIterator[dict[str, Any]], name: ImageRef) -> dict[str, Any] | None:
    """The next message; None: there are no more."""
    silence = asyncio.timeout(MAX_SILENCE_S)
    try:
        async with silence:
            return await anext(messages, None)
    except TimeoutError:
        if not silence.expired():
            raise
        said = f"nothing of the image was taken for {MAX_SILENCE_S:.0f} s"
        raise push_failure(failure(RegistryProblem.UNREACHABLE, name.repository, PUSH, said=said)) from None


@dataclass(slots=True)
class _Layer:
    status: str = ""
    sent_bytes: int = 0
    total_bytes: int = 0


@dataclass(slots=True)
class _Report:
    """From the engine's many messages to a few lines."""

    sink: BuildSink
    redactor: Redactor
    layers: dict[str, _Layer] = field(default_factory=dict)
    told_at: float = field(default_factory=time.monotonic)

    async def feed(self, message: dict[str, Any]) -> None:
        """One message: about a layer if it has an id."""
        layer_id, status = str(message.get("id", "")), str(message.get("status", ""))
        if not layer_id:
            return
        layer = self.layers.setdefault(layer_id, _Layer())
        before, layer.status = layer.status, status
        detail = message.get("progressDetail") or {}
        layer.sent_bytes = int(detail.get("current") or layer.sent_bytes)
        layer.total_bytes = max(int(detail.get("total") or 0), layer.total_bytes)
        if status == "Pushed":
            await self._line(f"layer {layer_id}: pushed, {_mib(max(layer.sent_bytes, layer.total_bytes))}")
        elif status == "Layer already exists":
            await self._line(f"layer {layer_id}: the registry has it")
        elif status.startswith("Mounted from"):
            await self._line(f"layer {layer_id}: m{status[1:]}")
        elif status.startswith("Retrying in") and not before.startswith("Retrying in"):
            layer.sent_bytes = 0
            await self._line(f"layer {layer_id}: the registry did not take it; the engine tries again")
        elif time.monotonic() - self.told_at >= PROGRESS_S:
            await self._progress()

    async def waits(self, wait_s: int) -> None:
        """The push has not begun, because the registry limits how often it may be asked."""
        await self._line(f"the registry limits how often it may be asked (429): waiting {wait_s} s as it says")

    async def end(self, digest: str) -> None:
        """The push has succeeded."""
        await self._line(f"pushed {digest}")

    async def _progress(self) -> None:
        self.told_at = time.monotonic()
        done = sum(one.status in ("Pushed", "Layer already exists") for one in self.layers.values())
        sent = sum(one.sent_bytes for one in self.layers.values())
        await self._line(f"{done} of {len(self.layers)} layers are in the registry, {_mib(sent)} sent so far")

    async def _line(self, text: str) -> None:
        await self.sink.line(STEP_ID, LogStream.STDOUT, self.redactor.text(text))


def _ended(step: BuildStep, state: StepState, error: str = "") -> BuildStep:
    return BuildStep(step.step_id, step.name, state, step.started_at, _now_ms(), error)


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
