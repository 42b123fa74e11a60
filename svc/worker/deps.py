"""The worker's dependencies, opened once in run.py."""

import asyncio
from dataclasses import dataclass

from pkg.acme import AcmeServer
from pkg.builders.port import Builder
from pkg.clock import Clock
from pkg.contexts import ContextChecker
from pkg.db import Database
from pkg.dns_providers.port import DnsProvider
from pkg.observability.metrics import Metrics
from pkg.observability.tracing import Tracing
from pkg.restate import RestateClient
from pkg.secrets import Vault
from pkg.storage.port import ObjectStore
from pkg.telemetry import Telemetry
from svc.worker.config import WorkerConfig


@dataclass(frozen=True)
class WorkerDeps:
    """What handlers and steps use; every step function takes it first.

    Attributes:
        acme: the ACME server of [tls]; None: the local authority issues, in the api.
        dns: where records for it are made; None: it has no [tls.dns].
        stopping: set once the process has to stop; a failure from then on does not count as an attempt's result.
    """

    config: WorkerConfig
    db: Database
    clock: Clock
    store: ObjectStore
    checker: ContextChecker
    vault: Vault
    builder: Builder
    telemetry: Telemetry
    restate: RestateClient
    metrics: Metrics
    tracing: Tracing
    stopping: asyncio.Event
    acme: AcmeServer | None = None
    dns: DnsProvider | None = None
