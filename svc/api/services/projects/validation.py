"""What a request about projects may say. Pure."""

from pkg.projects.slugs import check_slug
from sealift.ctrl.v1 import project_pb2 as pb
from svc.api.requests.checks import check_name


def slug_and_name(request: pb.CreateProjectRequest) -> tuple[str, str]:
    """Slug and name; an absent name is the slug."""
    slug = check_slug("slug", request.slug)
    return slug, check_name("name", request.name) if request.HasField("name") else slug
