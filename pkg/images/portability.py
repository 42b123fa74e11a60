"""Whether an image that exists on one Docker engine only is enough for the regions of an installation. Pure."""

from collections.abc import Mapping

KUBERNETES = "kubernetes"

SET_A_REGISTRY = (
    "Set [registry] url, username and password in the worker's configuration, and [registry] url in the api's: builds "
    "then push their images, and every region pulls them."
)


def obstacle(runtimes: Mapping[str, str]) -> str:
    """Why these regions can't all run an image of one Docker engine: the middle of a sentence; "" when they can.

    Args:
        runtimes: of each region, by its name.
    """
    on_kubernetes = sorted(name for name, runtime in runtimes.items() if runtime == KUBERNETES)
    if on_kubernetes:
        return f"the region {on_kubernetes[0]} runs on Kubernetes, which pulls images from a registry"
    if len(runtimes) > 1:
        return f"{len(runtimes)} regions are registered ({', '.join(sorted(runtimes))})"
    return ""
