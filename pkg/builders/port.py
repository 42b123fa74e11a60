"""The port of builders. Every adapter passes `contract.BuilderContract`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pkg.builders.settings import BuilderSections, BuilderSettings
from pkg.db import Database
from pkg.images import ImageRef
from pkg.registry import RegistryConfig
from pkg.telemetry.events import BuildStep, LogStream


class SignContextUrl(Protocol):
    """Signs the GET URL of a build's context, now: it lives for minutes, and a builder may take as long to be ready."""

    def __call__(self, *, with_etag: bool) -> str:
        """The URL; each call signs another one.

        Args:
            with_etag: whether the answer may carry an ETag. BuildKit below 0.18 must not see any: it takes the content
                of one context for another's (docs/adr/0008).
        """
        ...


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """One attempt of one build.

    Attributes:
        project_id: whose build it is.
        build_id: for labels and logs.
        attempt: from 1.
        image_name: repository and tag under which the builder keeps the image.
        sign_context_url: of the tar.gz; called once the builder is ready to fetch it.
        context_sha256: of the tar.gz, in hex; "" if that is not known.
        dockerfile_path: relative to the context.
        build_args: not for secrets: they stay in the image's history.
        secrets: by id, for RUN --mount=type=secret.
        target: stage to build, or None for the last one.
        platform: a Platform, or None for the builder's own.
        timeout_s: of the whole attempt.
        labels: of the image.
        is_shared: builds of other workspaces run on this builder, too.
        no_cache: every step runs, whatever the builder has of earlier builds; cache mounts start empty.
        traceparent: W3C trace context, or "".
    """

    project_id: str
    build_id: str
    attempt: int
    image_name: ImageRef
    sign_context_url: SignContextUrl = field(repr=False)
    context_sha256: str = ""
    dockerfile_path: str = "Dockerfile"
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    target: str | None = None
    platform: str | None = None
    timeout_s: float
    labels: Mapping[str, str] = field(default_factory=dict)
    is_shared: bool = False
    no_cache: bool = False
    traceparent: str = ""


class BuildSink(Protocol):
    """Where a build's steps and output go, as they happen. Called in order, one call at a time; text is redacted."""

    async def line(self, step_id: str, stream: LogStream, text: str) -> None:
        """One line of output, at most 16 KiB; `step_id` is "" for the builder's own remarks (SYSTEM)."""
        ...

    async def step(self, step: BuildStep) -> None:
        """A step as it is now; replaces what was reported of the same `step_id`."""
        ...


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that exists.

    Attributes:
        image_ref: by id on one Docker engine, or by digest in a registry.
        name: repository and tag.
        platform: such as "linux/amd64".
        size_bytes: 0 when the builder does not say.
        exposed_ports: TCP ports of EXPOSE, ascending.
        attestations: what is attached to it, of "provenance" and "sbom".
    """

    image_ref: ImageRef
    name: ImageRef
    platform: str
    size_bytes: int = 0
    exposed_ports: tuple[int, ...] = ()
    attestations: tuple[str, ...] = ()


CANCELLED_BY_USER = "cancelled by user"


class Builder(Protocol):
    """Turns build contexts into images."""

    @property
    def name(self) -> str:
        """What builds, as users and operators read it in messages: "the Docker engine"."""
        ...

    async def build(self, spec: BuildSpec, sink: BuildSink) -> BuiltImage:
        """Builds. Another call with the same spec makes the same image again, mostly from the cache.

        Attestations have times: with them, the same image is in an index with another digest.

        Cancelling the coroutine stops the build at the builder within about 0.2 s. Who cancels it for a user says so by
        `task.cancel(CANCELLED_BY_USER)`: some builders show why a build has ended.

        Raises:
            BuildFailed: what was to be built is at fault; another attempt fails, too.
            BuilderUnavailable: the builder is at fault; another attempt may succeed.
        """
        ...

    async def check(self) -> None:
        """Whether builds can begin now; takes seconds at most, and changes nothing.

        Raises:
            BuilderUnavailable: with what is wrong.
        """
        ...

    async def close(self) -> None:
        """Releases what the builder holds. Cancel the builds under way first. Idempotent."""
        ...


class BuilderConfig(BuilderSettings):
    """Base of the sections that configure a builder: their keys, and how the builder is opened."""

    def open_beside(self, sections: BuilderSections, db: Database) -> Builder:
        """`open`, with what the other sections and the control database have for it."""
        return self.open(sections.registry)

    def open(self, registry: RegistryConfig | None = None) -> Builder:
        """Opens the builder without a request to it: `Builder.check` does that.

        Args:
            registry: where it pushes each image; None: the image stays where it was built.
        """
        raise NotImplementedError
