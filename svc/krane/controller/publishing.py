"""Publishes one deployment's instances: reports to the api, endpoints to the ingress."""

import asyncio

from pkg.desired.processes import split_workload
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.deps import KraneDeps
from svc.krane.controller.endpoints import KnownEndpoint
from svc.krane.controller.instance import FAILED, HEALTHY, STARTING, STOPPED, Instance
from svc.krane.controller.start_timings import StartTimings


class Publisher:
    """Publishes the instances of one deployment.

    Args:
        instances: those that its reconciler has, by replica.
        observed: set once all of them were observed.
    """

    def __init__(
        self,
        deployment_id: str,
        deps: KraneDeps,
        start_timings: StartTimings,
        instances: dict[int, Instance],
        observed: asyncio.Event,
    ) -> None:
        self._deployment_id = deployment_id
        self._owner_id, self._process = split_workload(deployment_id)
        self._deps = deps
        self._start_timings = start_timings
        self._instances = instances
        self._observed = observed

    def publish(self, instance: Instance, port: int) -> None:
        """Reports the instance to the api, and the endpoints to the ingress."""
        if instance.is_between_starts:
            return  # the first probe is a moment away
        state, _ = instance.verdict()
        if state != STARTING:
            self._start_timings.decide(instance, "failed" if state == FAILED else "healthy")
        self.report(instance)
        self.endpoints(port)

    def report(self, instance: Instance) -> None:
        """Reports the instance to the api only."""
        self._deps.reporter.put(instance.report(self._deps.reporter.now()))

    def report_stopped(self, replica: int, name: str) -> None:
        """Reports to the api that an instance is gone for good."""
        reporter = self._deps.reporter
        reporter.put(
            pb.InstanceReport(
                instance_id=name,
                deployment_id=self._owner_id,
                process=self._process,
                replica=replica,
                state=STOPPED,
                observed_at=reporter.now(),
            )
        )

    def endpoints(self, port: int) -> None:
        """Passes the endpoints to the ingress, once all instances were observed: a part would count as all.

        A process has none.
        """
        if self._process or not self._observed.is_set():
            return
        endpoints = [
            KnownEndpoint(
                deployment_id=self._deployment_id,
                address=seen.address,
                port=port,
                healthy=one.verdict()[0] == HEALTHY,
                uid=seen.uid,
                started_at_ms=seen.started_at_ms,
                is_assigned=seen.is_address_assigned,
            )
            for _, one in sorted(self._instances.items())
            if (seen := one.seen) is not None and seen.address and not one.is_leaving
        ]
        self._deps.endpoints.publish(self._deployment_id, endpoints)
