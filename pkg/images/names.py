"""How images that Sealift builds are named and labelled. Pure."""

from pkg.ids import dns_label
from pkg.images.ref import ImageRef

# On every image that a worker builds. Not the label of containers: an image's labels are inherited by every container
# made of it, also by one that a person starts by hand, and that one is not ours to remove.
INSTALLATION_LABEL = "sealift.image.installation"
_REPOSITORIES = "sealift/"


def build_image(project_id: str, build_id: str, registry_url: str = "") -> ImageRef:
    """The name under which a builder keeps a build's image: one repository a project, one tag a build.

    With `registry_url` (host[:port][/path]) that repository is in the registry, else on the engine that builds. Ids are
    lower case, so that no two of them differ in case alone.
    """
    above = f"{registry_url}/" if registry_url else _REPOSITORIES
    return ImageRef(f"{above}{dns_label(project_id)}", tag=dns_label(build_id))


def is_build_image(name: str) -> bool:
    """Whether `name` (repository and tag) is one that `build_image` returns; all other names are foreign."""
    return name.startswith(_REPOSITORIES)
