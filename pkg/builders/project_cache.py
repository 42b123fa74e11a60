"""Keeps the caches of projects apart on a daemon that builds for several of them."""

from pkg.ids import dns_label
from pkg.images import ImageRef


def project_cache(project_id: str, image_name: ImageRef) -> dict[str, str]:
    """Attributes of dockerfile.v0 by which no build uses what a RUN of another project has left.

    The cache key of a RUN leaves out the secrets that it mounts and the proxy that it uses, though both decide what it
    makes: a project could prepare the steps of another one, or read what came of its secrets. A name in /etc/hosts that
    only this project has is part of that key with every BuildKit, and of no layer. Cache mounts are told apart by name.

    Args:
        project_id: whose build it is.
        image_name: of the build; its repository is the project's own.
    """
    return {
        "add-hosts": f"{dns_label(project_id)}.sealift.invalid=127.0.0.1",
        "build-arg:BUILDKIT_CACHE_MOUNT_NS": image_name.repository,
    }
