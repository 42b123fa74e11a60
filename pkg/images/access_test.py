"""Which images a project may name, for any spelling."""

from hypothesis import given
from hypothesis import strategies as st

from pkg.images import ImageRef, build_image
from pkg.images.access import Access, access, must_pull
from pkg.images.config import Images
from pkg.images.ref import is_registry_ref

PROJECTS = ["proj_a", "proj_b"]
URLS = [
    "registry.example.com/apps", "registry.example.com", "localhost:5000/apps/prod", "10.0.0.1:5000",
    "docker.io/acme", "registry.example.com:443",
]  # fmt: skip
NOBODY = Images()

tags = st.sampled_from(["", "bld-1", "cache", "latest"])
digests = st.sampled_from(["", "sha256:" + "a" * 64])
paths = st.from_regex(r"[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8}){0,2}(?:/[a-z0-9]{1,8}){0,2}", fullmatch=True)
hosts = st.sampled_from(["", "docker.io/", "ghcr.io/", "localhost:5000/", "registry.example.com/"])


@st.composite
def spellings(draw: st.DrawFn, repository: str) -> str:
    """A name that leads an engine to the same registry and repository."""
    host, slash, path = repository.removeprefix("docker.io/").partition("/")
    if not ("." in host or ":" in host):
        hub = ["", "docker.io/", "index.docker.io/", "docker.io:443/", "Docker.IO:0443/"]
        return draw(st.sampled_from(hub)) + f"{host}{slash}{path}"
    name, colon, port = host.partition(":")
    name = draw(st.sampled_from([name, name.upper(), name.title()]))
    if port in ("", "443"):
        return f"{name}{draw(st.sampled_from(['', ':443', ':0443', ':00443']))}{slash}{path}"
    return f"{name}{colon}{draw(st.sampled_from([port, f'0{port}']))}{slash}{path}"


@given(data=st.data(), url=st.sampled_from(["", *URLS]), tag=tags, digest=digests)
def test_no_project_runs_a_build_of_another(data: st.DataObject, url: str, tag: str, digest: str) -> None:
    """Promise: however its name is written, the image of another project's build is nobody's to run."""
    repository = build_image("proj_b", "", data.draw(st.sampled_from(["", url]))).repository
    image = ImageRef(data.draw(spellings(repository)), tag, digest)
    assert access(image, "proj_a", registry_url=url, allowed=NOBODY) is Access.OTHERS


@given(data=st.data(), url=st.sampled_from(URLS), tag=tags, digest=digests)
def test_a_project_may_name_its_own_repository(data: st.DataObject, url: str, tag: str, digest: str) -> None:
    """Promise: any version in it, by tag or digest; it is pulled, so that the registry confirms that it exists."""
    image = ImageRef(data.draw(spellings(build_image("proj_a", "", url).repository)), tag, digest)
    assert is_registry_ref(str(image))
    assert access(image, "proj_a", registry_url=url, allowed=NOBODY) is Access.OWN_REPOSITORY
    assert must_pull(image)


@given(url=st.sampled_from(["", *URLS]), project=st.sampled_from(PROJECTS), digest=digests)
def test_a_build_on_the_engine_is_named_by_its_id(url: str, project: str, digest: str) -> None:
    """Promise: only a name with a build's id is the project's own; it is the one kind that runs without a pull."""
    own = build_image("proj_a", "bld_1")
    image = ImageRef(build_image(project, "").repository, own.tag, digest)
    is_own = project == "proj_a" and not digest
    assert access(image, "proj_a", registry_url=url, allowed=NOBODY) is (Access.OWN_BUILD if is_own else Access.OTHERS)
    assert access(ImageRef(own.repository), "proj_a", registry_url=url, allowed=NOBODY) is Access.OTHERS
    assert not must_pull(own)


@given(host=hosts, path=paths, tag=tags, digest=digests, url=st.sampled_from(["", *URLS]))
def test_everything_else_is_pulled(host: str, path: str, tag: str, digest: str, url: str) -> None:
    """Promise: an image that no build of ours has runs only after a pull; a folder of a similar name is not below."""
    image = ImageRef(host + path, tag, digest)
    found = access(image, "proj_a", registry_url=url, allowed=NOBODY)
    is_ours = path.startswith("sealift/") and host in ("", "docker.io/")
    is_below = bool(url) and f"{host}{path}".startswith(f"{url.removesuffix(':443')}/")
    assert found is (Access.OTHERS if is_ours or is_below else Access.PULLED)
    assert must_pull(image) or is_ours
    if url == "registry.example.com/apps":
        beside = ImageRef(f"{url}2/{path}", tag, digest)
        assert access(beside, "proj_a", registry_url=url, allowed=NOBODY) is Access.PULLED


@given(path=paths, tag=st.sampled_from(["", "1", "2"]), digest=digests)
def test_the_list_of_the_operator(path: str, tag: str, digest: str) -> None:
    """Promise: exactly the listed names are allowed, Docker Hub's however they are written, and never a digest."""
    image = ImageRef(path, tag, digest)
    for pattern in (path, f"{path}:{tag or 'latest'}", f"{path[:-1]}*", f"*{path[1:]}:*"):
        allowed = Images(allow_local=(pattern,))
        assert allowed.allows(image) is not bool(digest)
        assert allowed.allows(ImageRef(f"docker.io/{path}", tag)) or path.startswith("library/")
        assert not allowed.allows(ImageRef(f"ghcr.io/{path}", tag)) or pattern.startswith("*")
        assert not allowed.allows(ImageRef.on_engine("sha256:" + "a" * 64))
    assert not Images(allow_local=(f"{path}:3", f"{path}x", f"x{path}", "")).allows(ImageRef(path, tag))


def test_what_allows_everything_is_refused() -> None:
    """Promise: a list that would open the engine to everybody is no configuration, nor is what is no name."""
    assert len(Images(allow_local=("*", "*/*", "*:*", "")).problems()) == 4
    assert len(Images(allow_local=("a b", "a?", "[a]")).problems()) == 3
    assert Images(allow_local=("tools/*", "localhost:5000/x:1")).problems() == []
