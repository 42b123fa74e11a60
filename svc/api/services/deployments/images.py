"""Which image a project may name, with the builds that it has."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import Build
from pkg.errors import InvalidArgument, NotFound
from pkg.ids import is_id
from pkg.images import ImageRef, build_image
from pkg.images.access import Access, access
from pkg.projects.model import Project
from svc.api.config import ApiConfig
from svc.api.requests.checks import shown


@dataclass(frozen=True)
class NamedImage:
    """What a project means by the name of an image.

    Attributes:
        name: as it is recorded; the own repository in one spelling.
        build: of the project, whose image it is; None for an image that a region pulls, or that its operator allows.
    """

    name: str
    build: Build | None = None


def named_image(connection: Connection, project: Project, image: str, config: ApiConfig) -> NamedImage:
    """Whether the project may run the image, and which it is.

    Raises:
        InvalidArgument: `image.not_allowed`, it is a build of another project, or may be one.
        NotFound: `build.not_found`, the project has no such build.
    """
    ref = ImageRef.parse(image)
    registry_url = config.registry.url if config.registry else ""
    found = access(ref, project.id, registry_url=registry_url, allowed=config.images)
    if found is Access.OTHERS:
        raise InvalidArgument("docker_image", _refusal(ref, project, registry_url), code="image.not_allowed")
    if found not in (Access.OWN_BUILD, Access.OWN_REPOSITORY):
        return NamedImage(image)
    url = registry_url if found is Access.OWN_REPOSITORY else ""
    ref = replace(ref, repository=build_image(project.id, "", url).repository)
    build_id = ref.tag.replace("-", "_", 1)
    if ref.digest:
        build = builds.of_image(connection, project.id, str(replace(ref, tag="")))
    else:
        build = builds.get(connection, build_id) if is_id("bld", build_id) else None
    if build is not None and build.project_id == project.id:
        return NamedImage(str(ref), build)
    if found is Access.OWN_REPOSITORY:
        return NamedImage(str(ref))  # something else in it: the registry knows
    raise NotFound(
        "build.not_found",
        f"Project {project.slug!r} has no build {shown(ref.tag)}: `sealift builds --project {project.slug}` lists its.",
        field="docker_image",
    )


def _refusal(ref: ImageRef, project: Project, registry_url: str) -> str:
    own = build_image(project.id, "BUILD", registry_url)
    return (
        f"{shown(str(ref))} is where images of builds are kept, and project {project.slug!r} may run its own only: "
        f"deploy one with `sealift deploy --build ID`, or name it as {own}"
    )
