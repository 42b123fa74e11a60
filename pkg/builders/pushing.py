"""A build on a BuildKit that pushes to the registry: what `buildkit` and `depot` have in common.

Whoever has a channel to the daemon calls `build_and_push`. The context goes through the session (`context_stream`), the
login is for the project's own repository (`repository_login`), and the registry confirms the image (`pushed_image`).
"""

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import grpc.aio

from pkg.builders.context_stream import ContextStream
from pkg.builders.port import BuildSink, BuildSpec, BuiltImage
from pkg.builders.project_cache import project_cache
from pkg.builders.push_failures import PUSH, push_failure, push_failure_of_text
from pkg.builders.pushed_image import read_pushed_image
from pkg.builders.repository_login import RepositoryLogin
from pkg.builders.settings import SBOM_SCANNER
from pkg.buildkit import (
    ChannelLostError,
    Features,
    Redactor,
    Solve,
    SolveError,
    features,
    open_session,
    session_context,
    solve,
)
from pkg.buildkit.status import Event
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.images import ImageRef
from pkg.registry import Credentials, RegistryConfig, RegistryError
from pkg.registry.client import repository_of
from pkg.registry.transport import is_loopback
from pkg.telemetry.events import BuildLine, LogStream

# After a scanner could not be used, builds have no SBOM for so long, instead of failing on it first.
SCANNER_PAUSE_S = 600.0
CACHE_TAG = "cache"
_UNEXPLAINED = frozenset({FailureKind.PUSH_UNAUTHORIZED, FailureKind.PUSH_DENIED, FailureKind.PUSH_FAILED})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SbomScanner:
    """The image that lists what an image contains, and whether daemons can use it.

    Attributes:
        image: "" makes no SBOM.
    """

    image: str = SBOM_SCANNER
    _paused_until: float = field(default=0.0, repr=False)

    @property
    def is_usable(self) -> bool:
        """Whether the next build shall use it."""
        return bool(self.image) and time.monotonic() >= self._paused_until

    def is_cause_of(self, error: SolveError) -> bool:
        """Whether a build failed because the scanner could not be pulled or did not work, and not by itself."""
        name = ImageRef.parse(self.image).repository
        return name in error.failed_step or name in error.text or "in-toto statement" in error.text

    def pause(self) -> None:
        """Builds have no SBOM for SCANNER_PAUSE_S."""
        self._paused_until = time.monotonic() + SCANNER_PAUSE_S


async def build_and_push(
    channel: grpc.aio.Channel,
    spec: BuildSpec,
    sink: BuildSink,
    registry: RegistryConfig,
    *,
    scanner: SbomScanner,
    secrets: Iterable[bytes] = (),
) -> BuiltImage:
    """Builds `spec` on the daemon at the other end, pushes the image and reads it back from the registry.

    Args:
        channel: to a daemon; see `pkg.buildkit.channel`.
        spec: `image_name` is in the registry.
        sink: gets steps and lines, redacted.
        registry: to push to.
        scanner: for the SBOM.
        secrets: of the caller, to redact as well as those of the build and the registry.

    Raises:
        BuildFailed: see `Builder.build`.
        BuilderUnavailable: see `Builder.build`.
    """
    redactor = Redactor([*spec.secrets.values(), *secrets, *_secrets(registry)])
    repository = repository_of(spec.image_name)
    context = ContextStream(spec.sign_context_url, spec.context_sha256)
    try:
        able = await features(channel)
        check_features(able, spec)
        async with RepositoryLogin(registry, repository, PUSH) as login:
            has_cache = able.registry_cache and not spec.no_cache and await _has_cache(login, repository)
            build = _Build(channel, spec, sink, registry, redactor, able, has_cache, context, login)
            try:
                digest = await build.run(scanner)
            except SolveError as error:
                raise await _failure(error, spec, context, login) from None
            try:
                return await read_pushed_image(login.client, spec.image_name, digest)
            except RegistryError as error:
                raise push_failure(error) from None
    except (ChannelLostError, OSError) as error:
        raise BuilderUnavailable(FailureKind.BUILDER_LOST, redactor.text(str(error))) from error


def check_features(able: Features, spec: BuildSpec) -> None:
    """Raises BuildFailed when the daemon can't build this, with what it lacks."""
    if problem := able.push_problem:
        raise BuildFailed(FailureKind.UNKNOWN, f"the builder can't be used: {problem}")
    if problem := able.platform_problem(spec.platform):
        raise BuildFailed(FailureKind.PLATFORM, problem)
    if spec.is_shared and able.isolation_problem:
        raise BuildFailed(FailureKind.ISOLATION, able.isolation_problem)


@dataclass(frozen=True, slots=True)
class _Build:
    channel: grpc.aio.Channel
    spec: BuildSpec
    sink: BuildSink
    registry: RegistryConfig
    redactor: Redactor
    able: Features
    has_cache: bool
    context: ContextStream
    login: RepositoryLogin

    async def run(self, scanner: SbomScanner) -> str:
        """The digest that was pushed. Raises SolveError."""
        if not (self.able.attests and scanner.is_usable):
            return await self._solve()
        try:
            return await self._solve(scanner=scanner.image)
        except SolveError as error:
            if not scanner.is_cause_of(error):
                raise
            scanner.pause()
            log.warning("no SBOM: %s", error.text, extra={"build_id": self.spec.build_id})
            why = f"the image gets no SBOM, because the scanner {scanner.image} could not be used: {error.text}"
            await self.sink.line("", LogStream.SYSTEM, why)
        # what was built is in the cache now, whether or not earlier builds were to be ignored
        return await self._solve(ignores_cache=False)

    async def _solve(self, *, scanner: str = "", ignores_cache: bool = True) -> str:
        async with open_session(
            self.channel, secrets=self.spec.secrets, login=self.login, open_context=self.context.open
        ) as session_id:
            request = self._request(session_id, scanner, ignores_cache=ignores_cache)
            answer = await solve(self.channel, request, self.redactor, self._pass_on)
        digest = answer.get("containerimage.digest", "")
        if not digest:
            raise SolveError(FailureKind.BUILDER_LOST, "the builder made an image and did not say which one")
        return digest

    async def _pass_on(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, BuildLine):
                await self.sink.line(event.step_id, event.stream, event.text)
            else:
                await self.sink.step(event)

    def _request(self, session_id: str, scanner: str, *, ignores_cache: bool) -> Solve:
        spec = self.spec
        is_insecure = {"registry.insecure": "true"} if is_loopback(self.registry.host) else {}
        cache = str(ImageRef(spec.image_name.repository, tag=CACHE_TAG))
        attrs = {f"build-arg:{name}": value for name, value in spec.build_args.items()}
        attrs |= {
            "context": session_context(session_id),
            "filename": spec.dockerfile_path,
            # what the daemon has of another project's image is not looked up: the registry says who may read it
            "image-resolve-mode": "pull",
            **project_cache(spec.project_id, spec.image_name),
        }
        attrs |= {f"label:{name}": value for name, value in spec.labels.items()}
        if spec.target:
            attrs["target"] = spec.target
        if spec.platform:
            attrs["platform"] = spec.platform
        if spec.no_cache and ignores_cache:
            attrs["no-cache"] = ""
        if self.able.attests:
            attrs["attest:provenance"] = "mode=min"  # without the build arguments
        if scanner:
            attrs["attest:sbom"] = f"generator={scanner}"
        exports: list[tuple[str, dict[str, str]]] = []
        if self.able.registry_cache:
            found = {"ref": cache, **is_insecure}
            if self.has_cache:
                attrs["cache-imports"] = json.dumps([{"Type": "registry", "Attrs": found}])
            kept = {"mode": "max", "image-manifest": "true", "oci-mediatypes": "true", "ignore-error": "true"}
            exports.append(("registry", found | kept))
        return Solve(
            frontend_attrs=attrs,
            exporter="image",
            # not stored at the daemon, where a FROM of another project could find it by its name
            exporter_attrs={"name": str(spec.image_name), "push": "true", "store": "false", **is_insecure},
            cache_exports=exports,
            session_id=session_id,
            timeout_s=spec.timeout_s,
            traceparent=spec.traceparent,
        )


async def _has_cache(login: RepositoryLogin, repository: str) -> bool:
    """Whether an earlier build left its cache. A daemon that looks for one in vain reports a failed step."""
    try:
        return await login.client.head(repository, CACHE_TAG) is not None
    except RegistryError as error:
        log.info("no cache: %s", error.message)
        return False


async def _failure(
    error: SolveError, spec: BuildSpec, context: ContextStream, login: RepositoryLogin
) -> BuildFailed | BuilderUnavailable:
    log.info("build failed: %s", error.kind, extra={"build_id": spec.build_id, "detail": error.text})
    if context.failure is not None:
        return context.failure
    if "failed to push" in error.text or error.failed_step.startswith(("exporting to image", "pushing ")):
        if login.problem is not None:
            return push_failure(login.problem)
        return await _push_failure(error.text, spec.image_name, login)
    if error.kind.is_ours:
        return BuilderUnavailable(error.kind, error.message)
    return BuildFailed(error.kind, error.message, exit_code=error.exit_code, line=error.line)


async def _push_failure(text: str, name: ImageRef, login: RepositoryLogin) -> BuildFailed | BuilderUnavailable:
    """Most daemons pass on a registry's status without its words: those come from the registry itself."""
    found = push_failure_of_text(text, name.repository)
    if found.kind not in _UNEXPLAINED:
        return found
    try:
        await login.client.check_push(repository_of(name))
    except RegistryError as error:
        return push_failure(error)
    return found


def _secrets(registry: RegistryConfig) -> list[bytes]:
    return Credentials(registry.username, registry.password).secrets()
