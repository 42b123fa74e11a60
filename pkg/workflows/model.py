"""What a workflow is to those who start it, notify it, and clean up after it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import ColumnElement, Connection, Table, true

from pkg.observability.metrics import Metrics
from pkg.restate import Handler
from sealift.workflow.v1.workflow_pb2 import Empty, NotifyRequest

PENDING = "pending"  # status of a row whose workflow has not started


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a workflow: one per run, whose id is the workflow's key.

    Attributes:
        table: has the columns id, status (PENDING at first) and traceparent.
        terminal: statuses that end a row.
        kind: what an operator calls the work of a row.
        is_dispatched: which rows the outbox starts; the others are started by a workflow that also ends them.
    """

    table: Table
    terminal: frozenset[str]
    kind: ColumnElement[str]
    is_dispatched: ColumnElement[bool] = field(default_factory=true)


@dataclass(frozen=True)
class Notification:
    """Tells workflows that what they wait for may have come. An accelerator: they also poll.

    Attributes:
        handler: completes the wait.
        keys: of the workflows that wait. Given the connection of the region's report, the deployments whose instances
            it changed, and the time in epoch ms.
    """

    handler: Handler[NotifyRequest, Empty]
    keys: Callable[[Connection, Collection[str], int], list[str]]


@dataclass(frozen=True, eq=False)
class Workflow:
    """One kind of durable work.

    Attributes:
        run: the main handler; one run per key.
        request: the message that starts the run with that key.
        rows: where intents and outcomes are written.
        is_awaited_by_drain: a drain ends only when every row that has started has ended.
        end_lost: ends the row of a workflow that Restate has lost (its run has ended, the row has not), and undoes what
            it did, in one transaction. Returns when the row was recorded, epoch ms; None: it ended properly in between.
            Repeatable.
        count_lost: counts the lost run in the metrics, given its duration in seconds.
        end_orphans: ends rows that `rows.is_dispatched` excludes and whose owner has ended; their keys. Repeatable.
        instances_changed: sent after a region reported instances.
        applied: sent after a region reported that it applied a version of the desired state.
    """

    run: Handler[Any, Any]
    request: Callable[[str], Message]
    rows: Rows
    is_awaited_by_drain: bool
    end_lost: Callable[[Connection, str, int], int | None]
    count_lost: Callable[[Metrics, float], None] | None = None
    end_orphans: Callable[[Connection, int], list[str]] | None = None
    instances_changed: Notification | None = None
    applied: Notification | None = None

    @property
    def name(self) -> str:
        """The service's name in Restate, and the value of `dispatches.workflow`."""
        return self.run.service
