"""Whether every region can run what builds make; refused before anything is built."""

from sqlalchemy import Connection

from pkg.errors import FailedPrecondition
from pkg.images import ImageRef
from pkg.images.portability import SET_A_REGISTRY, obstacle
from pkg.regions import queries as regions
from svc.api.config import ApiConfig


def check_builds_are_portable(connection: Connection, config: ApiConfig) -> None:
    """Raises FailedPrecondition `image.not_portable` when builds stay on an engine that not every region has."""
    if config.keeps_images_on_an_engine and (why := obstacle(_runtimes(connection))):
        raise FailedPrecondition(
            "image.not_portable", f"What is built exists on one Docker engine only, and {why}. {SET_A_REGISTRY}"
        )


def check_image_is_portable(connection: Connection, image_ref: str) -> None:
    """The same for an image that was built, perhaps before a registry was set."""
    if ImageRef.parse(image_ref).is_on_engine and (why := obstacle(_runtimes(connection))):
        raise FailedPrecondition(
            "image.not_portable",
            f"The image of this build exists on one Docker engine only, and {why}. {SET_A_REGISTRY} Then build again.",
        )


def check_region_is_served(connection: Connection, config: ApiConfig, name: str, runtime: str) -> None:
    """Raises FailedPrecondition `region.needs_registry` for a new region that could not run what builds make.

    A region that is registered stays: it runs images that users name, and rollbacks.
    """
    known = _runtimes(connection)
    if known.get(name) == runtime or not config.keeps_images_on_an_engine:
        return
    if why := obstacle({**known, name: runtime}):
        raise FailedPrecondition(
            "region.needs_registry",
            f"The region {name} is not registered: what is built exists on one Docker engine only, and with it {why}. "
            f"{SET_A_REGISTRY}",
        )


def _runtimes(connection: Connection) -> dict[str, str]:
    return {region.name: region.runtime for region in regions.every(connection)}
