"""How images of builds are named. Pure."""

from hypothesis import given
from hypothesis import strategies as st

from pkg.ids import is_id, new_id
from pkg.images import ImageRef, build_image, is_build_image
from pkg.images.ref import is_registry_ref

PROJECTS = st.integers(0, (1 << 48) - 1).map(lambda ms: new_id("proj", ms))
BUILDS = st.integers(0, (1 << 48) - 1).map(lambda ms: new_id("bld", ms))
REGISTRIES = st.sampled_from(["", "registry.example.com", "127.0.0.1:5000", "r.example.com:443/apps/more"])


@given(project=PROJECTS, build=BUILDS, url=REGISTRIES)
def test_a_builds_image_has_a_name_that_registries_take(project: str, build: str, url: str) -> None:
    """Promise: <registry>/<project>:<build>, in lower case, never "latest"; a digest can take the tag's place."""
    name = build_image(project, build, url)
    assert str(name) == str(name).lower()
    assert is_registry_ref(str(name))
    assert ImageRef.parse(str(name)) == name
    assert (name.tag, name.repository.rpartition("/")[2]) == (build.replace("_", "-"), project.replace("_", "-"))
    assert name.tag != "latest"
    assert is_build_image(str(name)) == (not url)
    assert is_registry_ref(str(ImageRef(name.repository, digest="sha256:" + "0" * 64)))


@given(ids=st.lists(st.tuples(PROJECTS, BUILDS), min_size=2, max_size=2, unique=True), url=REGISTRIES)
def test_two_builds_never_share_a_name(ids: list[tuple[str, str]], url: str) -> None:
    """Promise: names differ as the ids do, also in a registry that ignores case: no id has capitals."""
    one, two = (str(build_image(project, build, url)).lower() for project, build in ids)
    assert one != two
    assert not any(is_id("bld", build.upper()) or is_id("bld", "bld_" + build[4:].upper()) for _, build in ids)
