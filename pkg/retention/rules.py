"""Which images may be deleted. Pure: `unneeded` is called inside the transaction that deletes the images' rows.

Kept is the image of

* a deployment in flight, and what its build has made so far;
* a deployment that runs, is on standby, is starting or stopping, or holds a route;
* the target of a promote or rollback that has not ended;
* the deployment to which `sealift rollback` would go;
* the newest ready deployments of each environment, so many as the operator says: rollback targets, too;
* a build in flight; a build without a deployment that is among its project's newest or ended within the last hour;
* anything with a name that Sealift did not give;
* an image that no row knows, for an hour: its build may be about to name it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pkg.deployments.status import IN_FLIGHT, RunState, Status
from pkg.images import ImageRef, StoredImage, build_image, is_build_image

KEEP_PER_ENVIRONMENT = 10
KEEP_OWN_BUILDS = 10
FRESH_MS = 3_600_000
_AT_REST = frozenset({RunState.NONE, RunState.STOPPED})


@dataclass(frozen=True, slots=True)
class DeploymentUse:
    """What a deployment says about images.

    Attributes:
        image_ref: what it runs; "" before it is known, or once it is gone.
        docker_image: the name it was deployed from, "" for one that was built.
        is_wanted: holds a route, is the target of an operation that has not ended, or of the next rollback.
    """

    id: str
    environment_id: str
    seq: int
    status: Status
    run_state: RunState
    build_id: str | None
    image_ref: str
    docker_image: str
    is_wanted: bool

    @property
    def must_stay(self) -> bool:
        """Whether it needs its image, however old it is."""
        return self.is_wanted or self.status in IN_FLIGHT or self.run_state not in _AT_REST


@dataclass(frozen=True, slots=True)
class BuildUse:
    """What a build says about images. `ended_at` None: it is in flight. `deployment_id` None: it has no deployment."""

    id: str
    project_id: str
    deployment_id: str | None
    image_ref: str
    ended_at: int | None


def unneeded(
    images: Iterable[StoredImage],
    deployments: Sequence[DeploymentUse],
    builds: Sequence[BuildUse],
    *,
    now: int,
    per_environment: int = KEEP_PER_ENVIRONMENT,
) -> list[StoredImage]:
    """Those of `images` that nothing needs, in their order.

    Args:
        images: all of this installation.
        deployments: at least every one that has an `image_ref` or is in flight.
        builds: at least every one that has an `image_ref` or is in flight.
        now: epoch ms.
        per_environment: how many ready deployments of each environment keep their image, at least 1.
    """
    kept = _kept_deployments(deployments, per_environment)
    of_kept = {use.build_id for use in kept if use.build_id is not None}
    kept_builds = [build for build in builds if build.id in of_kept or build.ended_at is None]
    kept_builds += _kept_own(builds, now)
    refs = {use.image_ref for use in kept} | {build.image_ref for build in kept_builds}
    names = {str(build_image(build.project_id, build.id)) for build in kept_builds}
    names |= {ImageRef.parse(use.docker_image).name_on_engine for use in kept}
    known = {use.image_ref for use in deployments} | {build.image_ref for build in builds}

    def may_go(image: StoredImage) -> bool:
        if str(image.image_ref) in refs or not names.isdisjoint(image.names):
            return False
        if any(not is_build_image(name) for name in image.names):
            return False
        return str(image.image_ref) in known or image.created_at < now - FRESH_MS

    return [image for image in images if may_go(image)]


def _kept_deployments(deployments: Sequence[DeploymentUse], per_environment: int) -> list[DeploymentUse]:
    ready = defaultdict(list)
    for use in deployments:
        if use.status is Status.READY and use.image_ref:
            ready[use.environment_id].append(use)
    newest: set[str] = set()
    for of_one in ready.values():
        of_one.sort(key=lambda use: use.seq, reverse=True)
        newest.update(use.id for use in of_one[:per_environment])
    return [use for use in deployments if use.must_stay or use.id in newest]


def _kept_own(builds: Sequence[BuildUse], now: int) -> list[BuildUse]:
    own = defaultdict(list)
    for build in builds:
        if build.deployment_id is None and build.ended_at is not None and build.image_ref:
            own[build.project_id].append(build)
    kept = []
    for of_one in own.values():
        of_one.sort(key=lambda build: build.ended_at or 0, reverse=True)
        fresh = [build for build in of_one[KEEP_OWN_BUILDS:] if (build.ended_at or 0) > now - FRESH_MS]
        kept += of_one[:KEEP_OWN_BUILDS] + fresh
    return kept
