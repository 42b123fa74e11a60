"""What a daemon can do, asked of it: a probe is a solve with a frontend that no daemon has.

A daemon looks at exporters, caches and attestations before it looks for the frontend, so its error tells what it does
not know; it makes nothing. Versions are told by few (Debian's say "v0.0.0+unknown") and decide one thing alone.
"""

import asyncio
import re
import secrets as random
from dataclasses import dataclass

import grpc
import grpc.aio

from pkg.buildkit.channel import ChannelLostError, stub, wait_ready
from pkg.buildkit.pb import control_pb2 as pb

PROBE_TIMEOUT_S = 10.0
NO_FRONTEND = "sealift.probe"
# BuildKit 0.18 is the first that keeps the contents of different URLs apart ("http: fix etag cache scoping").
KEEPS_URLS_APART = (0, 18)
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.\d+)?(?:[-+.].*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What one daemon can do.

    Attributes:
        version: as it tells it, e.g. "v0.18.2"; "" when it does not.
        platforms: that it builds for, e.g. "linux/amd64"; those of emulators are among them.
        pushes: whether it has the exporter `image`, which pushes to a registry.
        registry_cache: whether it stores its cache in a registry.
        attests: whether it attaches provenance and SBOMs.
    """

    version: str
    platforms: tuple[str, ...]
    pushes: bool
    registry_cache: bool
    attests: bool

    @property
    def push_problem(self) -> str:
        """Why it can't build images and push them; "" when it can."""
        if not self.platforms:
            return "its BuildKit has no worker: enable one in its configuration"
        if not self.pushes:
            return (
                "its BuildKit has no exporter `image`, so it can't push images: use a buildkitd, or a Docker engine"
                " with containerd's image store"
            )
        return ""

    def platform_problem(self, platform: str | None) -> str:
        """Why it can't build for this platform; "" when it can, or when it is None."""
        if platform is None or platform in self.platforms:
            return ""
        return (
            f"the builder has no worker for {platform}; it builds for {', '.join(self.platforms)}. Choose one of them,"
            " or let the operator add a worker or an emulator"
        )

    @property
    def isolation_problem(self) -> str:
        """Why builds of several workspaces may not share the daemon; "" when they may."""
        found = _VERSION.fullmatch(self.version)
        if found and (int(found[1]), int(found[2])) >= KEEPS_URLS_APART:
            return ""
        named = f"is {self.version}" if found else "does not tell its version"
        return (
            f"builds of several workspaces need BuildKit 0.18 or newer, and the builder's {named}: before 0.18, a"
            " Dockerfile can read what another build has downloaded. Update it, or run an installation for each"
            " workspace"
        )


async def features(channel: grpc.aio.Channel, ready_timeout_s: float = 5.0) -> Features:
    """Asks the daemon, which takes some milliseconds once it is ready.

    Raises:
        ChannelLostError: it is not ready within `ready_timeout_s`, or went away.
    """
    platforms = await wait_ready(channel, ready_timeout_s)
    try:
        version, image, cache, attestation = await asyncio.gather(
            _version(channel),
            _refusal(channel, Exporters=[pb.Exporter(Type="image")], ExporterDeprecated="image"),
            _refusal(
                channel,
                Cache=pb.CacheOptions(
                    Exports=[pb.CacheOptionsEntry(Type="registry", Attrs={"ref": "localhost/probe"})]
                ),
            ),
            _refusal(channel, FrontendAttrs={"attest:sealift-probe": ""}),
        )
    except grpc.aio.AioRpcError as error:
        raise ChannelLostError(f"{error.code().name}: {error.details()}") from None
    return Features(
        version=version,
        platforms=tuple(dict.fromkeys(platforms)),
        pushes="could not be found" not in image,
        registry_cache="unknown cache exporter" not in cache,
        attests="unknown attestation" in attestation,
    )


async def _version(channel: grpc.aio.Channel) -> str:
    try:
        answer = await stub(channel).Info(pb.InfoRequest(), timeout=PROBE_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # Docker 20.10
            return ""
        raise
    version = str(answer.buildkitVersion.version)
    return "" if version.startswith("v0.0.0") else version


async def _refusal(channel: grpc.aio.Channel, **fields: object) -> str:
    """The daemon's words about a solve that can't begin."""
    request = pb.SolveRequest(Ref=random.token_hex(13), Frontend=NO_FRONTEND, Internal=True, **fields)  # type: ignore[arg-type]
    try:
        await stub(channel).Solve(request, timeout=PROBE_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise
        return error.details() or ""
    return ""
