"""An order of a certificate, as a list of named steps, and its handlers."""

import logging
from collections.abc import Awaitable, Callable

from restate import TerminalError, Workflow, WorkflowContext

from pkg.observability.logging import bind
from pkg.workflows.certificate import CERTIFICATE, CERTIFICATE_APPLIED, CERTIFICATE_RUN
from sealift.workflow.v1.workflow_pb2 import CertificateRequest, CertificateResult
from svc.worker.deps import WorkerDeps
from svc.worker.handlers import check_code, declared, resolves
from svc.worker.journal import Journal
from svc.worker.workflows.certificates.attempt import Progress, remove_answers
from svc.worker.workflows.certificates.issuance import finalize, note_slow, store
from svc.worker.workflows.certificates.proof import (
    answer,
    note_not_applied,
    observe_answers,
    observe_proof,
    place,
    put_answers,
    register,
)
from svc.worker.workflows.certificates.record import OrderInput, begin, note_abort, read_end
from svc.worker.workflows.compensation import ExitReason, WorkflowExit
from svc.worker.workflows.waiting import APPLIED, WakeUp, watch

CODE_VERSION = 1  # one more whenever a step is added, removed, renamed or moved

# How long the authority may take to look, and to issue. What takes longer is another attempt, at its due time.
WORK_TIMEOUT_S = 90
FIRST_PAUSE_S = 0.25
LAST_PAUSE_S = 5.0

log = logging.getLogger(__name__)


class Certificate:
    """The handler of `Certificate.run`. Whatever happens, the order ends, and its answers are removed."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps

    async def run(self, ctx: WorkflowContext, request: CertificateRequest) -> CertificateResult:
        """Carries the order out; Restate repeats it until it has ended. A few minutes at most."""
        order_id = request.order_id or ctx.key()
        with bind(order_id=order_id):
            journal = Journal(ctx, self._deps, "certificate")
            order = await journal.step("begin", begin, order_id, CODE_VERSION)
            check_code(order.code_version, CODE_VERSION, f"Certificate {order_id}")
            if order.is_over:
                await journal.step("remove answers", remove_answers, order_id)
                return CertificateResult(order_id=order_id, status=order.status, error_code=order.error_code)
            try:
                await self._obtain(ctx, journal, order_id, order)
            except WorkflowExit:
                pass  # the row says how it ended
            except TerminalError as error:
                log.warning("order aborted: %s", error.message)  # by an operator, in Restate
                await journal.step("note abort", note_abort, order_id, error.message)
            await journal.step("remove answers", remove_answers, order_id)
            ended = await journal.step("end", read_end, order_id)
            return CertificateResult(order_id=order_id, status=ended.status, error_code=ended.error_code)

    async def _obtain(self, ctx: WorkflowContext, journal: Journal, order_id: str, order: OrderInput) -> None:
        _go_on(await journal.step("register", register, order_id))
        _go_on(await journal.step("place", place, order_id))
        answers = _go_on(await journal.step("put answers", put_answers, order_id))
        if answers.version:
            await self._wait_applied(ctx, journal, order_id, answers.version)
        if order.propagation_ms:
            await journal.wait(order.propagation_ms / 1000)
        _go_on(await journal.step("answer", answer, order_id))
        await self._poll(journal, order_id, lambda: journal.step("proven", observe_proof, order_id))
        await self._poll(journal, order_id, lambda: journal.step("issued", finalize, order_id))
        _go_on(await journal.step("store", store, order_id))

    async def _wait_applied(self, ctx: WorkflowContext, journal: Journal, order_id: str, version: int) -> None:
        """The authority may ask any region: it is told to look once all of them have the answers."""
        timeout_s = self._deps.config.deploy.route_timeout_s
        observed = await watch(
            journal, "applied", observe_answers, timeout_s, WakeUp(ctx, APPLIED), None, order_id, version
        )
        if not observed.settled:
            await journal.step("note not applied", note_not_applied, order_id, version, timeout_s)
            raise WorkflowExit(ExitReason.FAILED)

    async def _poll(self, journal: Journal, order_id: str, look: Callable[[], Awaitable[Progress]]) -> None:
        """Looks until it is done, with growing pauses, as long as the authority asks at least."""
        waited_s, pause_s = 0.0, FIRST_PAUSE_S
        while True:
            found = _go_on(await look())
            if found.state == "done":
                return
            if waited_s >= WORK_TIMEOUT_S:
                await journal.step("note slow", note_slow, order_id, WORK_TIMEOUT_S)
                raise WorkflowExit(ExitReason.FAILED)
            now_s = min(max(pause_s, found.wait_ms / 1000), WORK_TIMEOUT_S)
            await journal.wait(now_s)
            waited_s, pause_s = waited_s + now_s, min(pause_s * 2, LAST_PAUSE_S)


def _go_on(found: Progress) -> Progress:
    """Raises WorkflowExit when the order has ended."""
    if found.state == "over":
        raise WorkflowExit(ExitReason.OVER)
    return found


def service(deps: WorkerDeps) -> Workflow:
    """The handlers, with these dependencies."""
    workflow = Workflow(CERTIFICATE.name)
    certificate = Certificate(deps)

    @workflow.main(**declared(CERTIFICATE_RUN))
    async def run(ctx: WorkflowContext, request: CertificateRequest) -> CertificateResult:
        """Carries out the order that is the key."""
        return await certificate.run(ctx, request)

    resolves(workflow, CERTIFICATE_APPLIED, APPLIED)
    return workflow
