from dataclasses import FrozenInstanceError

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pkg.images import ENGINE_IMAGE_PREFIX, ImageRef, build_image, is_build_image
from pkg.images.ref import is_image_id, is_registry_ref

HEX = "0123456789abcdef"
HOSTS = st.sampled_from(["", "ghcr.io/", "localhost/", "localhost:5000/", "docker.io/", "registry.example.com:443/"])
NAMES = st.from_regex(r"[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8}){0,2}(?:/[a-z0-9]{1,8}){0,2}", fullmatch=True)
TAGS = st.one_of(st.just(""), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True))
DIGESTS = st.text(HEX, min_size=64, max_size=64).map("sha256:{}".format)


@st.composite
def in_registries(draw: st.DrawFn) -> ImageRef:
    return ImageRef(draw(HOSTS) + draw(NAMES), draw(TAGS), draw(st.one_of(st.just(""), DIGESTS)))


@given(ref=in_registries())
def test_a_registry_reference_survives_writing_and_reading(ref: ImageRef) -> None:
    """Promise: what is written is read back as the same value, and is a reference that registries understand."""
    assert ImageRef.parse(str(ref)) == ref
    assert not ref.is_on_engine
    assert is_registry_ref(str(ref)) or is_image_id(str(ref))


@given(image_id=DIGESTS)
def test_an_image_of_an_engine_survives_writing_and_reading(image_id: str) -> None:
    """Promise: an engine's image is known as such, by its id, and is no reference that a registry understands."""
    ref = ImageRef.on_engine(image_id)
    assert str(ref) == f"{ENGINE_IMAGE_PREFIX}{image_id}"
    assert ImageRef.parse(str(ref)) == ref
    assert (ref.is_on_engine, ref.digest, ref.registry, ref.name_on_engine) == (True, image_id, "", image_id)
    assert not is_registry_ref(str(ref))
    assert is_image_id(image_id)


@given(text=st.one_of(st.text(max_size=40), st.text("a:@/", max_size=8)))
@example(text="")
@example(text="engine:1.27")
@example(text="a@")
@example(text=":tag")
@example(text="a:@b")
def test_no_text_is_changed_by_reading(text: str) -> None:
    """Promise: whatever a database or another version holds comes out as it went in."""
    assert str(ImageRef.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "ref", "registry", "name_on_engine"),
    [
        ("nginx", ImageRef("nginx"), "docker.io", "nginx"),
        ("docker.io/a/b:v1", ImageRef("docker.io/a/b", "v1"), "docker.io", "a/b:v1"),
        ("localhost:5000/a/b", ImageRef("localhost:5000/a/b"), "localhost:5000", "localhost:5000/a/b"),
        ("ghcr.io/a:v@sha256:c", ImageRef("ghcr.io/a", "v", "sha256:c"), "ghcr.io", "ghcr.io/a:v@sha256:c"),
        ("engine:1.27", ImageRef("engine", "1.27"), "docker.io", "engine:1.27"),
        ("REGISTRY/a/b", ImageRef("REGISTRY/a/b"), "REGISTRY", "REGISTRY/a/b"),
        ("registry/a/b", ImageRef("registry/a/b"), "docker.io", "registry/a/b"),
    ],
)
def test_parts(text: str, ref: ImageRef, registry: str, name_on_engine: str) -> None:
    """Promise: a port is no tag; Docker Hub's own image named "engine" is none of an engine; capitals make a host."""
    assert ImageRef.parse(text) == ref
    assert (ref.registry, ref.name_on_engine, ref.is_on_engine) == (registry, name_on_engine, False)


def test_the_name_of_a_build() -> None:
    """Promise: images that Sealift named are distinguished from all others."""
    ref = build_image("proj_01ab", "bld_02cd")
    assert str(ref) == "sealift/proj-01ab:bld-02cd"
    assert is_build_image(str(ref))
    assert not is_build_image("keep/this:1")
    with pytest.raises(FrozenInstanceError):
        ref.tag = "x"  # type: ignore[misc]
