"""What the servicers work with: opened and closed by `run`, the same for all."""

from dataclasses import dataclass

from pkg.clock import Clock
from pkg.db import Database
from pkg.installation import Installation
from pkg.observability.metrics import Metrics
from pkg.restate import RestateClient
from pkg.secrets import Vault
from pkg.storage.port import ObjectStore
from pkg.telemetry import Telemetry
from svc.api.config import ApiConfig
from svc.api.dispatch.dispatcher import Dispatcher
from svc.api.dispatch.notifier import Notifier
from svc.api.execs.broker import ExecBroker
from svc.api.rpc import Authorizer


@dataclass(frozen=True)
class ApiDeps:
    """The dependencies of every servicer.

    Attributes:
        instance_id: of this process.
        local_url: of this process' HTTP listener, as this machine reaches it; without a trailing slash.
        build_backend: by which builds run, as GetServerInfo returns it.
        payload_key: hashes the payload of requests that carry an idempotency key.
    """

    config: ApiConfig
    instance_id: str
    local_url: str
    installation: Installation
    build_backend: str
    db: Database
    clock: Clock
    store: ObjectStore
    telemetry: Telemetry
    restate: RestateClient
    vault: Vault
    metrics: Metrics
    authorizer: Authorizer
    dispatcher: Dispatcher
    notifier: Notifier
    payload_key: bytes
    execs: ExecBroker
