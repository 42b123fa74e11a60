"""Builds with a buildkitd and pushes."""

from pkg.builders.buildkit.connection import Connection
from pkg.builders.port import BuildSink, BuildSpec, BuiltImage
from pkg.builders.pushing import SbomScanner, build_and_push
from pkg.builders.repository_login import check_account
from pkg.buildkit import ChannelLostError, features
from pkg.builds.failures import BuilderUnavailable, FailureKind
from pkg.registry import RegistryConfig

CHECK_TIMEOUT_S = 3.0


class BuildkitBuilder:
    """`port.Builder` on one daemon. Holds no connection between builds."""

    name = "buildkitd"

    def __init__(
        self, connection: Connection, registry: RegistryConfig, *, sbom_scanner: str, platform: str | None = None
    ) -> None:
        """A builder.

        Args:
            connection: to the daemon.
            registry: to push to.
            sbom_scanner: see `BuildkitConfig`.
            platform: of builds that name none, for which the daemon must have a worker; None: the daemon's own.
        """
        self._connection = connection
        self._registry = registry
        self._scanner = SbomScanner(sbom_scanner)
        self._platform = platform

    async def build(self, spec: BuildSpec, sink: BuildSink) -> BuiltImage:
        """See `Builder.build`."""
        try:
            async with self._connection.channel() as channel:
                return await build_and_push(channel, spec, sink, self._registry, scanner=self._scanner)
        except ChannelLostError as error:
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, await self._words(error)) from error
        except BuilderUnavailable as error:
            if error.kind is FailureKind.BUILDER_LOST and (why := await self._connection.why()):
                raise BuilderUnavailable(error.kind, self._sentence(why)) from error
            raise

    async def check(self) -> None:
        """See `Builder.check`.

        The daemon answers, pushes, and has a worker for the operator's platform; the registry takes the account.
        """
        if why := await self._connection.why():
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, self._sentence(why))
        try:
            async with self._connection.channel() as channel:
                able = await features(channel, CHECK_TIMEOUT_S)
        except ChannelLostError as error:
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, await self._words(error)) from error
        if problem := able.push_problem or able.platform_problem(self._platform):
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, f"{self._connection}: {problem}")
        await check_account(self._registry)

    async def close(self) -> None:
        """See `Builder.close`. There is nothing to release."""

    async def _words(self, error: ChannelLostError) -> str:
        return self._sentence(await self._connection.why() or str(error))

    def _sentence(self, why: str) -> str:
        return f"the buildkitd at {self._connection} can't be used: {why}"
