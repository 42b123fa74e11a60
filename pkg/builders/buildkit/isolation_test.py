"""What a build can read of others: no context, and nothing in the registry, where that has a token server."""

import asyncio

import pytest

from pkg.builders.buildkit.backend import BuildkitBuilder
from pkg.builders.buildkit.config import BuildkitConfig
from pkg.builders.buildkit.conftest import Build
from pkg.builders.port import BuiltImage
from pkg.builders.repository_login import permitted
from pkg.builders.testing import SHELL, MemorySink, nonce
from pkg.buildkit.testing_front import Front
from pkg.builds.failures import BuildFailed, FailureKind
from pkg.ids import new_id
from pkg.images import ImageRef, build_image
from pkg.registry.testing import PUSHER, DockerRegistry


@pytest.fixture
async def secret_image(build: Build, token_registry: DockerRegistry) -> BuiltImage:
    """An image of another project, which has a secret in it."""
    name = build_image(new_id("proj"), new_id("bld"), token_registry.config().url)
    return await build(f"{SHELL}RUN echo {nonce()} >/secret\n", image_name=name)


async def test_builds_at_once_have_their_own_contexts(build: Build, token_registry: DockerRegistry) -> None:
    """Promise: no build gets the context of another one that runs on the daemon at that moment."""
    marks, sinks = [nonce() for _ in range(3)], [MemorySink() for _ in range(3)]
    names = [build_image(new_id("proj"), new_id("bld"), token_registry.config().url) for _ in marks]
    await asyncio.gather(
        *(
            build(f"{SHELL}RUN echo {mark}\n", sink, image_name=name)
            for mark, sink, name in zip(marks, sinks, names, strict=True)
        )
    )
    assert [[mark for mark in marks if mark in sink.text] for sink in sinks] == [[mark] for mark in marks]


@pytest.mark.parametrize("by", ["tag", "digest"])
async def test_from_another_project(build: Build, secret_image: BuiltImage, by: str) -> None:
    """Promise: FROM, COPY --from and # syntax= get nothing of another project, by name or by digest."""
    ref = str(secret_image.name if by == "tag" else secret_image.image_ref)
    for dockerfile in (
        f"FROM {ref}\nRUN cat /secret\n",
        f"{SHELL}COPY --from={ref} /secret /secret\n",
        f"# syntax={ref}\n{SHELL}",
    ):
        with pytest.raises(BuildFailed) as caught:
            await build(dockerfile)
        assert caught.value.kind in (FailureKind.REGISTRY_AUTH, FailureKind.BASE_IMAGE), caught.value.message


async def test_from_an_earlier_build_of_the_same_project(build: Build, image_name: ImageRef) -> None:
    """Promise: a project may go on from its own images."""
    first = await build(f"{SHELL}RUN echo {nonce()} >/kept\n")
    second = ImageRef(image_name.repository, new_id("bld").replace("_", "-").lower())
    made = await build(f"FROM {first.image_ref}\nRUN cat /kept\n", image_name=second)
    assert made.image_ref.repository == first.image_ref.repository


async def test_who_was_asked_for_what(build: Build, token_registry: DockerRegistry, secret_image: BuiltImage) -> None:
    """Promise: with the account, the token server is asked to push to the project's own repository alone."""
    before = len(token_registry._tokens.scopes)
    made = await build(f"{SHELL}RUN : {nonce()}\n")
    asked = {scope for who, scope in token_registry._tokens.scopes[before:] if who == PUSHER.username}
    own = made.name.repository.partition("/")[2]
    assert f"repository:{own}:pull,push" in asked
    assert all(own in scope for scope in asked if "push" in scope)


async def test_basic_authentication(front: Front, basic_registry: DockerRegistry, build: Build) -> None:
    """Promise: a registry without tokens works; there FROM reads what the account reads, which limits.md says."""
    builder = BuildkitConfig(address=front.address, sbom_scanner="").open(basic_registry.config())
    names = [build_image(new_id("proj"), new_id("bld"), basic_registry.config().url) for _ in range(2)]
    first = await build(f"{SHELL}RUN echo {nonce()} >/secret\n", using=builder, image_name=names[0])
    second = await build(f"FROM {first.image_ref}\nRUN cat /secret\n", using=builder, image_name=names[1])
    assert second.image_ref.registry == basic_registry.host


async def test_a_second_workspace_is_refused(build: Build, builder: BuildkitBuilder) -> None:
    """Promise: Debian's BuildKit, which tells no version, serves one workspace alone."""
    with pytest.raises(BuildFailed, match=r"build\.isolation.*need BuildKit 0\.18 or newer"):
        await build(SHELL, is_shared=True)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (["repository:a/x:pull"], ["repository:a/x:pull"]),
        (["repository:a/x:pull,push,delete,*"], ["repository:a/x:pull,push"]),
        (["repository:a/y:pull"], []),
        (["repository:a/x:pull", "repository:a/y:pull"], ["repository:a/x:pull"]),
        (
            ["repository:a/x:pull,push", "repository:a/y:pull,push,delete"],
            ["repository:a/x:pull,push", "repository:a/y:pull"],
        ),
        (["repository:a/x/y:pull", "registry:catalog:*", "repository", ""], []),
        (["repository:host:5000/a/x:pull"], []),
    ],
)
def test_what_is_permitted(asked: list[str], given: list[str]) -> None:
    """Promise: nothing of others before a push; in a push, layers may be copied from them; never more than that."""
    assert permitted(asked, "a/x") == given
