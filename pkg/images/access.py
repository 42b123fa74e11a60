"""Which images a project may name, as far as their names tell. Pure.

What a registry holds is the registry's matter: such an image is pulled before it runs (`must_pull`), with the login of
the region. Names that no registry decides about are those of builds: of this engine, and of the installation's own
registry, whose login may read the repositories of all projects.
"""

from enum import StrEnum

from pkg.images.config import Images
from pkg.images.names import build_image, is_build_image
from pkg.images.ref import ImageRef, canonical_host, canonical_repository, familiar_name


class Access(StrEnum):
    """Whose image it is."""

    PULLED = "pulled"  # whoever may pull it may run it
    ALLOWED = "allowed"  # the operator keeps it on the engine for everybody
    OWN_BUILD = "own_build"  # on the engine: allowed if the project has that build
    OWN_REPOSITORY = "own_repository"  # in the installation's registry
    OTHERS = "others"  # of another project, or of nobody


def access(image: ImageRef, project_id: str, *, registry_url: str, allowed: Images) -> Access:
    """Whose an image is that a project names.

    Args:
        image: as the project names it.
        project_id: of that project.
        registry_url: host[:port][/path] of the installation's registry; "" when it has none.
        allowed: the operator's list.
    """
    if allowed.allows(image):
        return Access.ALLOWED
    if image.is_on_engine:
        return Access.OTHERS
    name = familiar_name(image)
    if is_build_image(name):
        is_own = name == build_image(project_id, "").repository and bool(image.tag) and not image.digest
        return Access.OWN_BUILD if is_own else Access.OTHERS
    if is_below(image, registry_url):
        own = build_image(project_id, "", registry_url).repository
        is_own = canonical_repository(image.repository) == canonical_repository(own)
        return Access.OWN_REPOSITORY if is_own else Access.OTHERS
    return Access.PULLED


def must_pull(image: ImageRef) -> bool:
    """Whether an image that a project may name runs only after a pull: one whose name is no proof of its origin."""
    return not image.is_on_engine and not is_build_image(familiar_name(image))


def is_below(image: ImageRef, registry_url: str) -> bool:
    """Whether the image is in the registry with that URL, however its host is written."""
    host, slash, path = registry_url.partition("/")
    above = f"{canonical_host(host)}{slash}{path}"
    return bool(registry_url) and canonical_repository(image.repository).startswith(f"{above}/")
