"""The tests that every builder passes.

An adapter's tests inherit `BuilderContract` with three fixtures: `builder`, `store` (an object store that the builder
can read from) and `image_name` (removed afterwards). Dockerfiles stay within what a shell and busybox do.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from pkg.builders.port import Builder, BuildSpec, BuiltImage
from pkg.builders.testing import SHELL, MemorySink, context, context_at, nonce
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.images import ImageRef
from pkg.storage.port import ObjectStore
from pkg.storage.testing import put
from pkg.telemetry.events import LogStream, StepState

ContentOf: TypeAlias = Callable[[BuiltImage], Awaitable[str]]


class BuilderContract:
    """What every builder promises."""

    @pytest.fixture
    def sink(self) -> MemorySink:
        """What the builder reported."""
        return MemorySink()

    @pytest.fixture
    def content_of(self) -> ContentOf:
        """What two builds of the same content have in common: the reference, if it holds no times."""

        async def reference(image: BuiltImage) -> str:
            return str(image.image_ref)

        return reference

    async def test_an_image_is_made_and_told_about(
        self, builder: Builder, store: ObjectStore, image_name: ImageRef, sink: MemorySink
    ) -> None:
        """The image has the requested name, its facts are known, and the sink has all events, a step's end last."""
        mark = nonce()
        lines = f"EXPOSE 9000 8080/tcp 53/udp\nRUN echo {mark}; echo problem >&2\n"
        image = await builder.build(await spec(store, image_name, lines), sink)
        assert (image.name, image.exposed_ports, image.image_ref.digest[:7]) == (image_name, (8080, 9000), "sha256:")
        assert image.platform.startswith("linux/")
        assert {(LogStream.STDOUT, mark), (LogStream.STDERR, "problem")} <= {(s, text) for _, s, text in sink.lines}
        assert {step.state for step in sink.last_steps.values()} <= {StepState.COMPLETED, StepState.CACHED}

    async def test_the_same_again_is_the_same_image(
        self, builder: Builder, store: ObjectStore, image_name: ImageRef, sink: MemorySink, content_of: ContentOf
    ) -> None:
        """An attempt after a crash may repeat what an earlier one has built."""
        build_spec = await spec(store, image_name, f"RUN echo {nonce()}\n")
        first, second = await builder.build(build_spec, sink), await builder.build(build_spec, sink)
        assert await content_of(first) == await content_of(second)

    @pytest.mark.parametrize(
        ("files", "kind", "exit_code"),
        [
            ({"Dockerfile": f"{SHELL}RUN : {nonce()}; exit 7\n"}, FailureKind.COMMAND_FAILED, 7),
            ({"Other": SHELL}, FailureKind.DOCKERFILE_MISSING, None),
            ({"Dockerfile": f"{SHELL}NONSENSE\n"}, FailureKind.DOCKERFILE_INVALID, None),
        ],
        ids=["command", "missing", "invalid"],
    )
    async def test_what_cannot_be_built_is_the_users_fault(
        self,
        builder: Builder,
        store: ObjectStore,
        image_name: ImageRef,
        sink: MemorySink,
        files: dict[str, str],
        kind: FailureKind,
        exit_code: int | None,
    ) -> None:
        """The kind of the failure is known, so that the user reads what to do and the build is not repeated."""
        with pytest.raises(BuildFailed) as caught:
            await builder.build(await spec(store, image_name, files=files), sink)
        assert (caught.value.kind, caught.value.exit_code, caught.value.code) == (kind, exit_code, f"build.{kind}")

    async def test_a_context_that_is_away_is_not_the_users_fault(
        self, builder: Builder, store: ObjectStore, image_name: ImageRef, sink: MemorySink
    ) -> None:
        """An object store that does not answer calls for another attempt."""
        build_spec = await spec(store, image_name, "RUN :\n", sign_context_url=context_at("http://127.0.0.1:9/nothing"))
        with pytest.raises(BuilderUnavailable) as caught:
            await builder.build(build_spec, sink)
        assert caught.value.kind is FailureKind.CONTEXT_UNAVAILABLE

    async def test_no_secret_is_told(
        self, builder: Builder, store: ObjectStore, image_name: ImageRef, sink: MemorySink
    ) -> None:
        """Values of build secrets are redacted wherever text leaves the builder: output, names of steps, errors."""
        secret = f"hunter2-{nonce()}"
        lines = f"RUN echo {secret}; echo {secret} >&2; exit 3\n"
        with pytest.raises(BuildFailed) as caught:
            await builder.build(await spec(store, image_name, lines, secrets={"token": secret.encode()}), sink)
        assert secret not in sink.everything() + caught.value.message

    async def test_no_step_of_another_project_is_reused(
        self, builder: Builder, store: ObjectStore, image_name: ImageRef
    ) -> None:
        """What a step has made with the secrets and the proxy of a project is reused in that project alone."""
        lines = f"RUN --mount=type=secret,id=s cat /run/secrets/s >/kept; echo /$http_proxy >>/kept; : {nonce()}\n"
        for project, secret, proxy in (("proj_a", "one", "evil"), ("proj_b", "two", "good"), ("proj_a", "xyz", "more")):
            sink, files = MemorySink(), {"Dockerfile": f"{SHELL}{lines}RUN cat /kept; : {nonce()}\n"}
            given: dict[str, Any] = {
                "project_id": project,
                "secrets": {"s": secret.encode()},
                "build_args": {"http_proxy": proxy},
            }
            await builder.build(await spec(store, image_name, files=files, **given), sink)
            wanted = ("one", "/evil") if project == "proj_a" else (secret, f"/{proxy}")
            assert [line for line in wanted if line in sink.text] == list(wanted), sink.text

    async def test_a_cancelled_build_ends_soon(
        self, builder: Builder, store: ObjectStore, image_name: ImageRef, sink: MemorySink
    ) -> None:
        """Who cancels the coroutine waits for seconds at most."""
        build_spec = await spec(store, image_name, f"RUN echo begun {nonce()}; while :; do :; done\n")
        building = asyncio.create_task(builder.build(build_spec, sink))
        await sink.saw("begun")
        building.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await building

    async def test_a_builder_that_works_says_so(self, builder: Builder) -> None:
        """A healthy builder passes its check, has a name for messages, closes, and may be closed twice."""
        await builder.check()
        assert builder.name
        await builder.close()
        await builder.close()


async def spec(
    store: ObjectStore, image_name: ImageRef, lines: str = "", files: dict[str, str] | None = None, **fields: Any
) -> BuildSpec:
    """A build of these Dockerfile lines, on top of a shell, or of these files; keywords go into the spec."""
    path = f"contexts/proj_a/{nonce()}.tar.gz"
    await put(store, path, context(files or {"Dockerfile": SHELL + lines}))
    given: dict[str, Any] = {
        "project_id": "proj_a", "build_id": "bld_a", "attempt": 1, "image_name": image_name, "timeout_s": 90,
        "sign_context_url": context_at(store.presign_get(path, ttl_s=60)), "labels": {"sealift.test": str(image_name)},
    }  # fmt: skip
    return BuildSpec(**(given | fields))
