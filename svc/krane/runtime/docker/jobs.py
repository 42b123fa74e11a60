"""Containers of jobs: made and started once, watched, ended, removed.

Nothing is sent to them, so their addresses are the engine's own choice, from the end of the network's range that krane
never assigns. They are no instances: what lists and measures those leaves them out.
"""

import logging
from collections.abc import Mapping
from typing import Any

import docker.errors

from pkg.desired.jobs import job_name
from pkg.docker.calls import said
from pkg.docker.labels import (
    LABEL_ENVIRONMENT,
    LABEL_JOB,
    LABEL_JOB_DEPLOYMENT,
    LABEL_JOB_KIND,
    LABEL_PROJECT,
    LABEL_WORKSPACE,
)
from pkg.docker.streams import EngineStreams
from pkg.errors import FailedPrecondition, Unavailable
from svc.krane.runtime import refusals
from svc.krane.runtime.docker import container_spec, inspected
from svc.krane.runtime.docker.creation import Creation
from svc.krane.runtime.port import InstanceStatus, JobObservation, JobRef, JobSpec

log = logging.getLogger(__name__)

RELEASE, RUN = "release", "run"


class JobContainers(Creation):
    """The jobs of one region on one engine. `use` comes first."""

    async def start(self, spec: JobSpec) -> JobObservation:  # type: ignore[override]
        """See `Runtime.start_job`."""
        for _ in range(3):
            found = await self.observe(spec, is_to_start=True)
            if found is None:
                image = await self._images.resolve(spec.of)
                async with self._slots.take(is_live=False):
                    await self._make(spec, image)
            elif found.seen.status is not InstanceStatus.CREATED:
                return found
            else:
                async with self._slots.take(is_live=False):
                    await self._start_new(found.seen)
        raise Unavailable("engine.unavailable", f"container {job_name(spec.job_id)} comes and goes; trying again")

    async def observe(self, spec: JobSpec, *, is_to_start: bool = False) -> JobObservation | None:
        """See `Runtime.observe_job`. `is_to_start`: FailedPrecondition when the name is someone else's."""
        name = job_name(spec.job_id)
        try:
            raw = await self._containers.ask("inspect", name, self._calls.client.inspect_container, name)
        except docker.errors.NotFound:
            return None
        labels = raw["Config"]["Labels"]
        if not self._identity.owns(labels) or labels.get(LABEL_JOB) != spec.job_id:
            if not is_to_start:
                return None
            raise FailedPrecondition(
                "instance.name_taken",
                f"container name {name} is taken by a container that is not this job (its labels differ); remove it by "
                f"hand: docker rm -f {name}",
            )
        return _observation(raw)

    async def stop(self, spec: JobSpec, streams: EngineStreams, grace_s: int) -> None:
        """See `Runtime.stop_job`."""
        found = await self.observe(spec)
        if found is not None and found.seen.status is InstanceStatus.RUNNING:
            await streams.stop(found.seen.uid, grace_s)

    async def remove(self, job_id: str) -> None:
        """See `Runtime.remove_job`."""
        await self._containers.remove(job_name(job_id), 0)

    async def list_jobs(self) -> list[JobRef]:
        """See `Runtime.list_jobs`."""
        return [
            JobRef(labels[LABEL_JOB], labels.get(LABEL_ENVIRONMENT, ""), labels.get(LABEL_JOB_KIND) == RELEASE)
            for labels in await self._containers.labels_of_all()
            if LABEL_JOB in labels
        ]

    async def _make(self, spec: JobSpec, image: str) -> None:
        name = job_name(spec.job_id)
        try:
            config = job_config(
                spec,
                image,
                self._identity,
                self._network.name,
                init=await self._gets_init(spec.of, image, name),
                has_quota=self._has_quota,
                cgroup_parent=self._cgroup_parent,
            )
            await self._calls.start(self._calls.client.create_container_from_config, config, name)
        except docker.errors.NotFound as error:
            raise await self._not_found(spec.of, name, error) from error
        except docker.errors.APIError as error:
            if error.status_code == 409:  # made by a call whose answer was lost
                return
            if self._has_quota and refusals.is_quota_refused(said(error)):
                self._has_quota = False
                return
            no_room = refusals.shortage(said(error))
            raise no_room or self._refused("create", name, spec.of.command, error) from error


def job_config(
    spec: JobSpec,
    image: str,
    identity: container_spec.Identity,
    network: str,
    *,
    init: bool,
    has_quota: bool,
    cgroup_parent: str,
) -> dict[str, Any]:
    """The body of POST /containers/create: as an instance's, without an address and with a job's labels. Pure."""
    config = container_spec.container_config(
        spec.of, image, 0, identity, network, "", init=init, has_quota=has_quota, cgroup_parent=cgroup_parent
    )
    config["Hostname"] = job_name(spec.job_id)[:63]
    config["Labels"] = {
        **identity.labels(),
        LABEL_WORKSPACE: spec.of.workspace_id,
        LABEL_PROJECT: spec.of.project_id,
        LABEL_ENVIRONMENT: spec.of.environment_id,
        LABEL_JOB: spec.job_id,
        LABEL_JOB_KIND: RELEASE if spec.is_release else RUN,
        LABEL_JOB_DEPLOYMENT: spec.of.deployment_id,
    }
    config["NetworkingConfig"] = {"EndpointsConfig": {network: {}}}
    config["Env"] = [*config["Env"], f"SEALIFT_JOB_ID={spec.job_id}"]
    return config


def _observation(raw: Mapping[str, Any]) -> JobObservation:
    seen = inspected.observation(raw)
    labels, state = raw["Config"]["Labels"], raw["State"]
    ended = seen.status is InstanceStatus.EXITED
    reason = f"it ran out of memory ({seen.memory_mib} MiB)" if ended and seen.out_of_memory else ""
    return JobObservation(
        inspected.of_job(seen, labels.get(LABEL_JOB_DEPLOYMENT, "")),
        ended_at_ms=inspected.epoch_ms(state.get("FinishedAt", "")) if ended else 0,
        reason=reason,
    )
