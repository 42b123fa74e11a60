"""Which images may be deleted. Pure: called inside the transaction that clears the rows of the images.

An image may be on engines, in the installation's registry, or both; the same images are kept everywhere. Kept is the
image of

* a deployment in flight, and what its build has made so far;
* a deployment that runs, is on standby, is starting or stopping, or holds a route;
* the target of a promote or rollback that has not ended;
* the deployment to which `sealift rollback` would go;
* the newest ready deployments of each environment, so many as the operator says: rollback targets, too;
* a build in flight; a build without a deployment that is among its project's newest or ended within the last hour;
* anything with a name that Sealift did not give, or that is in a registry of others, too;
* an image that no row knows, for an hour: its build may be about to name it;
* in the registry: whatever was pushed within the last hour, and everything that is no build of the project.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pkg.deployments.status import IN_FLIGHT, RunState, Status
from pkg.images import ImageRef, StoredImage, build_image, is_build_image
from pkg.images.access import is_below

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

    def is_old(self, now: int) -> bool:
        """Whether it ended more than an hour ago, so that its push is no younger either."""
        return self.ended_at is not None and self.ended_at < now - FRESH_MS


def unneeded(
    images: Iterable[StoredImage],
    deployments: Sequence[DeploymentUse],
    builds: Sequence[BuildUse],
    *,
    now: int,
    per_environment: int = KEEP_PER_ENVIRONMENT,
    registry_url: str = "",
) -> list[StoredImage]:
    """Those of `images` that nothing needs, in their order.

    Args:
        images: all of this installation on an engine.
        deployments: at least every one that has an `image_ref` or is in flight.
        builds: at least every one that has an `image_ref` or is in flight.
        now: epoch ms.
        per_environment: how many ready deployments of each environment keep their image, at least 1.
        registry_url: of the installation's registry; "" when it has none.
    """
    kept = _Kept(deployments, builds, now, per_environment, registry_url)
    known = _spelled({use.image_ref for use in deployments} | {build.image_ref for build in builds})

    def may_go(image: StoredImage) -> bool:
        refs, named = _spelled({str(image.image_ref), *image.digests}), {*image.names, *image.digests}
        if not kept.refs.isdisjoint(refs) or not kept.names.isdisjoint(_spelled(named)):
            return False
        if not all(is_build_image(name) or is_below(ImageRef.parse(name), registry_url) for name in named):
            return False
        return not known.isdisjoint(refs) or image.created_at < now - FRESH_MS

    return [image for image in images if may_go(image)]


def unneeded_in_registry(
    deployments: Sequence[DeploymentUse],
    builds: Sequence[BuildUse],
    *,
    now: int,
    registry_url: str,
    per_environment: int = KEEP_PER_ENVIRONMENT,
) -> list[str]:
    """The `image_ref`s of builds in the registry that nothing needs; the arguments are those of `unneeded`."""
    kept = _Kept(deployments, builds, now, per_environment, registry_url)
    of_ref = defaultdict(list)
    for build in builds:
        ref = ImageRef.parse(build.image_ref)
        if ref.digest and is_below(ref, registry_url):
            of_ref[build.image_ref].append(build)
    return [
        ref
        for ref, same in of_ref.items()
        if kept.refs.isdisjoint(_spelled([ref]))
        and kept.names.isdisjoint(_spelled([ref]))
        and all(build.is_old(now) for build in same)
        and kept.names.isdisjoint(
            _spelled(str(build_image(build.project_id, build.id, registry_url)) for build in same)
        )
    ]


def deletable_digests(
    tags: Mapping[str, str], builds: Mapping[str, BuildUse], referenced: Collection[str], *, now: int
) -> list[str]:
    """The digests in a project's repository that may be deleted, in the order of `tags`.

    A registry deletes a digest with all its tags. So each of them has to be the tag of a build whose image was given
    up: its row names none any more, or never did.

    Args:
        tags: every tag of the repository, with the digest that it names.
        builds: the project's builds by tag; a tag that is missing here is someone's own, or the cache.
        referenced: digests in this repository that any row names.
        now: epoch ms.
    """
    of_digest = defaultdict(list)
    for tag, digest in tags.items():
        of_digest[digest].append(builds.get(tag))
    return [
        digest
        for digest, same in of_digest.items()
        if digest not in referenced and all(build and not build.image_ref and build.is_old(now) for build in same)
    ]


class _Kept:
    """What is kept, in each of the forms in which something may name it."""

    def __init__(
        self,
        deployments: Sequence[DeploymentUse],
        builds: Sequence[BuildUse],
        now: int,
        per_environment: int,
        registry_url: str,
    ) -> None:
        uses = _kept_deployments(deployments, per_environment)
        of_kept = {use.build_id for use in uses if use.build_id is not None}
        kept = [build for build in builds if build.id in of_kept or build.ended_at is None] + _kept_own(builds, now)
        self.refs = _spelled(({use.image_ref for use in uses} | {build.image_ref for build in kept}) - {""})
        built = {str(build_image(build.project_id, build.id, url)) for build in kept for url in {"", registry_url}}
        self.names = _spelled(built | {use.docker_image for use in uses if use.docker_image})


def _spelled(names: Iterable[str]) -> set[str]:
    """Each in one spelling: an engine leaves out the host of Docker Hub, a row may have it."""
    return {str(ImageRef.parse(name).canonical) for name in names}


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
