"""Which image of the engine the instances of a deployment run.

An image of a build is taken from the engine, and pulled if it is not there. An image that a user named is pulled for
each deployment, since the engine may have another image of that name: one of the operator's, one of another program,
or one of another project. From then on the deployment runs what was pulled, by its id.
"""

from typing import Any

import docker.errors

from pkg.docker.calls import EngineCalls
from pkg.errors import SealiftError, Unavailable
from pkg.images import ImageRef, is_build_image
from pkg.images.config import Images
from pkg.images.ref import familiar_name
from svc.krane.runtime import pull_failures
from svc.krane.runtime.docker.containers import Containers
from svc.krane.runtime.docker.pulls import ImagePulls
from svc.krane.runtime.port import DeploymentSpec, PendingError

MAX_KNOWN = 1000  # deployments whose image is remembered; of a forgotten one it is found out again


class InstanceImages:
    """The images of the instances on one engine.

    Args:
        allowed: names whose local copy may run without a pull.
    """

    def __init__(self, calls: EngineCalls, containers: Containers, pulls: ImagePulls, allowed: Images) -> None:
        self._calls = calls
        self._containers = containers
        self._pulls = pulls
        self._allowed = allowed
        self._known: dict[str, str] = {}

    async def resolve(self, spec: DeploymentSpec) -> str:
        """The name or id of the image that the deployment's instances are made of.

        Raises:
            PendingError: it is being pulled; an event follows.
            FailedPrecondition: it can't be pulled.
            Unavailable: the engine is away, or the pull failed for a reason that may pass.
        """
        if (pending := self._pulls.pending(spec.image_ref, spec.deployment_id)) is not None:
            raise pending
        ref = ImageRef.parse(spec.image_ref)
        if not spec.must_pull or ref.is_on_engine or self._allowed.allows(ref):
            return ref.name_on_engine
        if self._pulls.is_done(spec.image_ref, spec.deployment_id):
            known: str | None = await self._pulled(ref)
        else:
            known = self._known.get(spec.owner_id) or await self._of_a_sibling(spec)
        if known is None:
            raise self._pulls.require(spec.image_ref, spec.deployment_id)
        self._remember(spec.owner_id, known)
        return known

    def missing(self, spec: DeploymentSpec, region: str) -> PendingError | SealiftError:
        """The error of an instance whose image, as `resolve` has named it, is not on the engine; may start a pull."""
        self._known.pop(spec.owner_id, None)
        ref = ImageRef.parse(spec.image_ref)
        if ref.is_on_engine or is_build_image(familiar_name(ref)):  # no registry has those of builds on an engine
            return pull_failures.image_missing(spec.image_ref, region)
        return self._pulls.require(spec.image_ref, spec.deployment_id)

    async def _of_a_sibling(self, spec: DeploymentSpec) -> str | None:
        """The image of another instance of the deployment, also of one that an earlier krane has made."""
        found = await self._containers.find(spec.deployment_id)
        if spec.process:
            found += await self._containers.find(spec.owner_id)
        return next((str(raw["ImageID"]) for raw in found if raw.get("ImageID")), None)

    async def _pulled(self, ref: ImageRef) -> str:
        inspect: Any = self._calls.client.inspect_image
        try:
            image = await self._containers.ask("inspect", "the image", inspect, ref.name_on_engine)
        except docker.errors.NotFound as error:
            raise Unavailable("engine.unavailable", f"image {ref} was pulled and is gone; trying again") from error
        return str(image["Id"])

    def _remember(self, deployment_id: str, image_id: str) -> None:
        self._known[deployment_id] = image_id
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
