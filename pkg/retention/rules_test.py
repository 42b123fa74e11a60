"""The rules of image retention, for any history."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pkg.deployments.status import IN_FLIGHT, RunState, Status
from pkg.images import ImageRef, StoredImage, build_image
from pkg.retention.rules import (
    FRESH_MS,
    KEEP_OWN_BUILDS,
    BuildUse,
    DeploymentUse,
    deletable_digests,
    unneeded,
    unneeded_in_registry,
)

NOW = 10 * FRESH_MS
REFS = [f"engine:sha256:{n}" for n in range(6)]
ENVIRONMENTS = ["env_a", "env_b"]
PROJECTS = ["proj_a", "proj_b"]

refs = st.sampled_from(["", *REFS])
times = st.integers(NOW - 3 * FRESH_MS, NOW)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[StoredImage], list[DeploymentUse], list[BuildUse]]:
    """Images, and deployments and builds that may name them. Several may name one: the content was the same."""
    builds = [
        BuildUse(
            id=f"bld_{n}",
            project_id=draw(st.sampled_from(PROJECTS)),
            deployment_id=draw(st.sampled_from([None, f"dep_{n}"])),
            image_ref=draw(refs),
            ended_at=draw(st.none() | times),
        )
        for n in range(draw(st.integers(0, 8)))
    ]
    deployments = [
        DeploymentUse(
            id=f"dep_{n}",
            environment_id=draw(st.sampled_from(ENVIRONMENTS)),
            seq=n,
            status=draw(st.sampled_from(list(Status))),
            run_state=draw(st.sampled_from([RunState.STOPPED, RunState.STOPPED, *RunState])),
            build_id=f"bld_{n}" if n < len(builds) else None,
            image_ref=draw(refs),
            docker_image=draw(st.sampled_from(["", "", str(build_image("proj_a", "bld_0")), "nginx:1"])),
            is_wanted=draw(st.booleans()),
        )
        for n in range(draw(st.integers(0, 8)))
    ]
    some_names = [str(build_image(p, f"bld_{n}")) for p in PROJECTS for n in range(10)]
    images = [
        StoredImage(ImageRef.parse(ref), tuple(draw(st.lists(st.sampled_from(some_names), max_size=3))), draw(times), 1)
        for ref in REFS
    ]
    return images, deployments, builds


@given(histories(), st.integers(1, 4))
def test_what_is_needed_is_kept(
    history: tuple[list[StoredImage], list[DeploymentUse], list[BuildUse]], per_environment: int
) -> None:
    """Promise: nothing that runs, is routed, is on its way or may be rolled back to loses its image."""
    images, deployments, builds = history
    unused = unneeded(images, deployments, builds, now=NOW, per_environment=per_environment)
    gone, gone_names = {str(i.image_ref) for i in unused}, {name for i in unused for name in i.names}
    by_id = {build.id: build for build in builds}
    for use in deployments:
        at_rest = use.run_state in (RunState.STOPPED, RunState.NONE)
        if use.is_wanted or use.status in IN_FLIGHT or not at_rest:
            assert use.image_ref not in gone
            assert use.docker_image not in gone_names
            if use.build_id is not None:
                assert by_id[use.build_id].image_ref not in gone
    for environment_id in ENVIRONMENTS:
        ready = [
            use
            for use in deployments
            if use.environment_id == environment_id and use.status is Status.READY and use.image_ref
        ]
        assert all(use.image_ref not in gone for use in ready[-per_environment:])
    for build in builds:
        if build.ended_at is None:
            assert str(build_image(build.project_id, build.id)) not in gone_names
        elif build.deployment_id is None and build.ended_at > NOW - FRESH_MS:
            assert build.image_ref not in gone


@given(histories(), st.integers(1, 4))
def test_disk_use_is_bounded(
    history: tuple[list[StoredImage], list[DeploymentUse], list[BuildUse]], per_environment: int
) -> None:
    """Promise: an old image that only deployments at rest name, each with enough newer ones, goes."""
    images, deployments, _ = history
    settled = [
        DeploymentUse(
            id=use.id, environment_id=use.environment_id, seq=use.seq, run_state=RunState.STOPPED, build_id=None,
            status=use.status if use.status.is_terminal else Status.FAILED, image_ref=use.image_ref, docker_image="",
            is_wanted=False,
        )
        for use in deployments
    ]  # fmt: skip
    unused = unneeded(images, settled, [], now=NOW + 4 * FRESH_MS, per_environment=per_environment)
    kept = {str(i.image_ref) for i in images} - {str(i.image_ref) for i in unused}
    assert len(kept) <= per_environment * len(ENVIRONMENTS)


@given(histories(), st.integers(1, 4))
def test_it_is_settled_at_once(
    history: tuple[list[StoredImage], list[DeploymentUse], list[BuildUse]], per_environment: int
) -> None:
    """Promise: a second pass finds nothing more, so cleared rows never make room for deleting others."""
    images, deployments, builds = history
    unused = unneeded(images, deployments, builds, now=NOW, per_environment=per_environment)
    gone = {str(i.image_ref) for i in unused}
    left = [i for i in images if str(i.image_ref) not in gone]
    assert not any(use.image_ref in gone for use in deployments if use.must_stay)
    remaining = [use for use in deployments if use.image_ref not in gone or use.must_stay]
    assert unneeded(left, remaining, [b for b in builds if b.image_ref not in gone or b.ended_at is None],
                    now=NOW, per_environment=per_environment) == []  # fmt: skip


REGISTRY = "registry.test/apps"
AGES_MS = st.sampled_from([FRESH_MS // 2, 2 * FRESH_MS, 3 * FRESH_MS])


def in_registry(number: int) -> str:
    """A reference by digest; builds of one project share some."""
    return f"{build_image('proj_a', '', REGISTRY).repository}@sha256:{number:064x}"


@st.composite
def registry_histories(draw: st.DrawFn) -> tuple[list[DeploymentUse], list[BuildUse]]:
    """Builds of one project in the registry, and deployments of them, some by the name of an image."""
    builds = [
        BuildUse(
            id=f"bld_{n}", project_id="proj_a", deployment_id=draw(st.sampled_from([None, f"dep_{n}"])),
            image_ref=draw(st.sampled_from(["", *map(in_registry, range(5))])),
            ended_at=draw(st.none() | AGES_MS.map(lambda age: NOW - age)),
        )
        for n in range(draw(st.integers(0, 8)))
    ]  # fmt: skip
    names = [str(build_image("proj_a", f"bld_{n}", REGISTRY)) for n in range(8)]
    deployments = [
        DeploymentUse(
            id=f"dep_{n}", environment_id="env_a", seq=n, status=draw(st.sampled_from(list(Status))),
            run_state=draw(st.sampled_from([RunState.STOPPED, *RunState])), build_id=build.id,
            image_ref=draw(st.sampled_from(["", build.image_ref])),
            docker_image=draw(st.sampled_from(["", "", *names, in_registry(0)])), is_wanted=draw(st.booleans()),
        )
        for n, build in enumerate(builds)
    ]  # fmt: skip
    return deployments, builds


@given(registry_histories(), st.integers(1, 3))
def test_what_is_needed_stays_in_the_registry(
    history: tuple[list[DeploymentUse], list[BuildUse]], per_environment: int
) -> None:
    """Promise: no image is given up that a deployment runs, may be rolled back to, or is about to run; none of a build
    under way, none within an hour of a push, and none that an image's name leads to."""
    deployments, builds = history
    gone = unneeded_in_registry(deployments, builds, now=NOW, registry_url=REGISTRY, per_environment=per_environment)
    by_name = {str(build_image(build.project_id, build.id, REGISTRY)): build.image_ref for build in builds}
    by_id = {build.id: build for build in builds}
    ready = [use for use in deployments if use.status is Status.READY and use.image_ref]
    for use in deployments:
        if use.must_stay or use in ready[-per_environment:]:
            assert use.image_ref not in gone
            assert by_id[use.build_id or ""].image_ref not in gone
            assert by_name.get(use.docker_image) not in gone
            assert use.docker_image not in gone
    for build in builds:
        if build.ended_at is None or build.ended_at > NOW - FRESH_MS:
            assert build.image_ref not in gone
    assert set(gone) <= {build.image_ref for build in builds} - {""}


@given(registry_histories(), st.integers(1, 3))
def test_the_registry_and_the_engines_keep_the_same(
    history: tuple[list[DeploymentUse], list[BuildUse]], per_environment: int
) -> None:
    """Promise: an engine that has pulled an image keeps it as long as the registry does, and deletes it afterwards."""
    deployments, builds = history
    pulled = [
        StoredImage(ImageRef.parse(f"engine:{n}"), (), NOW - 9 * FRESH_MS, digests=(in_registry(n),)) for n in range(5)
    ]
    stays = {"now": NOW, "registry_url": REGISTRY, "per_environment": per_environment}
    gone = {image.digests[0] for image in unneeded(pulled, deployments, builds, **stays)}  # type: ignore[arg-type]
    given_up = set(unneeded_in_registry(deployments, builds, **stays))  # type: ignore[arg-type]
    assert given_up <= gone
    fresh = {build.image_ref for build in builds if not build.is_old(NOW)}
    named = {build.image_ref for build in builds for use in deployments
             if use.docker_image == str(build_image(build.project_id, build.id, REGISTRY))}  # fmt: skip
    unknown = {in_registry(n) for n in range(5)} - {build.image_ref for build in builds}
    assert gone - given_up <= fresh | named | unknown


TAGS = ["cache", "mine", *(f"bld-{n}" for n in range(5))]


@given(
    tags=st.dictionaries(st.sampled_from(TAGS), st.integers(0, 3).map(str)),
    refs=st.lists(st.sampled_from(["", "", "", in_registry(9)]), min_size=5, max_size=5),
    ages=st.lists(st.none() | AGES_MS, min_size=5, max_size=5),
    referenced=st.sets(st.integers(0, 3).map(str), max_size=2),
)
def test_a_digest_goes_only_with_all_its_tags(
    tags: dict[str, str], refs: list[str], ages: list[int | None], referenced: set[str]
) -> None:
    """Promise: a digest stays if one of its tags is the cache, or someone's own, or of a build that is kept, under way
    or younger than an hour, or if a row names it; all others go."""
    builds = {
        f"bld-{n}": BuildUse(f"bld_{n}", "proj_a", None, ref, None if age is None else NOW - age)
        for n, (ref, age) in enumerate(zip(refs, ages, strict=True))
    }
    gone = deletable_digests(tags, builds, referenced, now=NOW)
    assert len(gone) == len(set(gone))
    for digest in set(tags.values()):
        same = [tag for tag, of in tags.items() if of == digest]
        is_given_up = all(
            tag in builds and not builds[tag].image_ref and (builds[tag].ended_at or NOW) < NOW - FRESH_MS
            for tag in same
        )
        assert (digest in gone) is (is_given_up and digest not in referenced)


def test_an_image_in_docker_hub_is_known_by_its_short_name() -> None:
    """Promise: an engine leaves out Docker Hub's host; what a row names with it is the same image, kept or deleted."""
    name, build = "docker.io/acme/proj-a@sha256:1", BuildUse("bld_1", "proj_a", None, "", None)
    image = StoredImage(ImageRef.parse("engine:a"), (), NOW - 2 * FRESH_MS, digests=("acme/proj-a@sha256:1",))
    stays = {"now": NOW, "registry_url": "docker.io/acme"}
    assert unneeded([image], [], [replace(build, image_ref=name)], **stays) == []  # type: ignore[arg-type]
    assert unneeded([image], [], [build], **stays) == [image]  # type: ignore[arg-type]


def test_images_of_other_registries_stay_on_the_engine() -> None:
    """Promise: what someone has pushed elsewhere under a name or a digest of their own is not deleted."""
    old = NOW - 2 * FRESH_MS
    ours = StoredImage(ImageRef.parse("engine:a"), (), old, digests=(in_registry(1),))
    elsewhere = StoredImage(ImageRef.parse("engine:b"), (), old, digests=(in_registry(2), "ghcr.io/a/b@sha256:1"))
    tagged = StoredImage(ImageRef.parse("engine:c"), ("ghcr.io/a/b:1",), old, digests=(in_registry(3),))
    images = [ours, elsewhere, tagged]
    assert unneeded(images, [], [], now=NOW, registry_url=REGISTRY) == [ours]
    assert unneeded(images, [], [], now=NOW) == []


def test_builds_of_their_own() -> None:
    """The newest ten of a project are kept, older ones for an hour."""
    builds = [BuildUse(f"bld_{n:02}", "proj_a", None, f"engine:{n:02}", NOW - n * FRESH_MS // 6) for n in range(20)]
    images = [
        StoredImage(ImageRef.parse(b.image_ref), (str(build_image(b.project_id, b.id)),), NOW - 9 * FRESH_MS, 1)
        for b in builds
    ]
    gone = unneeded(images, [], builds, now=NOW)
    assert [str(i.image_ref) for i in gone] == [f"engine:{n:02}" for n in range(KEEP_OWN_BUILDS, 20)]
    quick = [BuildUse(b.id, b.project_id, None, b.image_ref, NOW - 1) for b in builds]
    assert unneeded(images, [], quick, now=NOW) == []


def test_names_of_others_and_strangers() -> None:
    """A foreign name keeps an image; an image that no row knows is kept for an hour."""
    old, young = NOW - 2 * FRESH_MS, NOW - FRESH_MS // 2
    tagged = StoredImage(ImageRef.parse("engine:a"), ("sealift/a:b", "keep/this:1"), old, 1)
    stranger, newborn = (
        StoredImage(ImageRef.parse("engine:b"), (), old, 1),
        StoredImage(ImageRef.parse("engine:c"), (), young, 1),
    )
    assert unneeded([tagged, stranger, newborn], [], [], now=NOW) == [stranger]


def test_the_newest_of_each_environment() -> None:
    """Deployments count by environment; an image that two deployments share stays as long as one of them does."""
    uses = [
        DeploymentUse(
            f"dep_{n}", ENVIRONMENTS[n % 2], n, Status.READY, RunState.STOPPED, None, f"engine:{n // 4}", "", False
        )
        for n in range(12)
    ]
    images = [StoredImage(ImageRef.parse(f"engine:{n}"), (), NOW - 2 * FRESH_MS, 1) for n in range(3)]
    assert [str(i.image_ref) for i in unneeded(images, uses, [], now=NOW, per_environment=2)] == [
        "engine:0",
        "engine:1",
    ]
    assert unneeded(images, uses, [], now=NOW, per_environment=5) == []
