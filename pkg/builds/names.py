"""How a build's image is called where it is kept. Pure."""

from pkg.ids import dns_label

IMAGE_PREFIX = "sealift/"


def image_name(project_id: str, build_id: str) -> str:
    """Repository and tag: one repository a project, one tag a build."""
    return f"{IMAGE_PREFIX}{dns_label(project_id)}:{dns_label(build_id)}"
