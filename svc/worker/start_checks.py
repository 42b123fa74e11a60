"""What the worker says at its start about the parts that it needs. Nothing waits for it."""

import logging
from functools import partial

from pkg.builders.docker.config import DockerConfig
from pkg.errors import FailedPrecondition, SealiftError
from pkg.images.portability import SET_A_REGISTRY, obstacle
from pkg.regions import queries as regions
from svc.worker.deps import WorkerDeps

log = logging.getLogger(__name__)


async def report_what_does_not_work(deps: WorkerDeps) -> None:
    """Logs at the start what does not answer. Nothing waits for it: each use of a part tries again."""
    for name, check in (
        ("telemetry", deps.telemetry.check),
        ("builder", deps.builder.check),
        ("placement of what is built", partial(_check_placement, deps)),
    ):
        try:
            await check()
        except SealiftError as error:
            log.warning("the %s does not work: %s", name, error.message)


async def _check_placement(deps: WorkerDeps) -> None:
    """Raises FailedPrecondition `image.not_portable` when images stay on an engine that not every region has."""
    if deps.config.registry is not None or not isinstance(deps.config.build, DockerConfig):
        return
    known = await deps.db.read(regions.every)
    if why := obstacle({region.name: region.runtime for region in known}):
        raise FailedPrecondition(
            "image.not_portable", f"What is built exists on one Docker engine only, and {why}. {SET_A_REGISTRY}"
        )
