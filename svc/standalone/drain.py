"""`drain`: waits until work in progress has ended, and starts no new work. Requests are still accepted meanwhile.

Run it before an upgrade: other code may have other steps and can't continue what this code started. Quiet means that
no work that has started is without an outcome, and that the workflow engine has nothing half done; the api says so. A
drain that does not get quiet in time, or is interrupted, is ended again.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from pkg import local_http
from svc.standalone import drain_api
from svc.standalone.api_client import ApiAwayError, ApiClient, ApiRefusedError
from svc.standalone.drain_api import Drain, Reason, Status
from svc.standalone.errors import StartupError
from svc.standalone.statedir import StateDir

POLL_S = 0.5
# What was cancelled is undone; what could not be is past its last wait but for the ingress.
CANCEL_WAIT_S = 300.0
KILL_WAIT_S = 30.0
ASK_TIMEOUT_S = 5.0

API = "api"
ENGINE = "workflow engine"
# A scheduled invocation has not started: it has no steps yet.
_HALF_DONE = "SELECT id, target FROM sys_invocation WHERE status NOT IN ('completed', 'scheduled') LIMIT 100"
_CANCEL = {
    "deploy": ("DeploymentService/CancelDeployment", "deploymentId"),
    "build": ("BuildService/CancelBuild", "buildId"),
}

Say = Callable[[str], None]


async def drain(
    state: StateDir, timeout_s: float, say: Say, *, reason: Reason = Reason.UPGRADE, may_kill: bool = False
) -> bool:
    """Begin a drain and wait until it is quiet. May be repeated, also at the same time.

    Args:
        state: of a stack that runs.
        timeout_s: after it, deploys and builds that are under way are cancelled.
        say: called with each change of what it waits for.
        reason: an upgrade's drain is ended by the next start, an operator's by `undo` only.
        may_kill: end in the workflow engine what is under way even then, such as a deploy that other code has started
            and this code refuses to continue. The api's next start ends it as failed and undoes what it did.

    Returns:
        Whether it is quiet. The drain stays active then; else it is ended.

    Raises:
        StartupError: no stack runs, or its api does not answer or knows no drains.
    """
    endpoints = drain_api.running(state)
    api = drain_api.client(state, endpoints, reason)
    active = await drain_api.begin(api, reason)
    is_quiet = False
    try:
        is_quiet = await _Drain(state, api, active, say).run(timeout_s, may_kill=may_kill)
    finally:
        if not is_quiet:
            await _give_up(api, active, say)
    return is_quiet


async def undo(state: StateDir, say: Say, *, reason: Reason, drain_id: str = "") -> None:
    """End one drain by its id, or the one that this machine began for the reason. Idempotent.

    Raises:
        StartupError: as `drain`; or there never was a drain with that id.
    """
    endpoints = drain_api.running(state)
    api = drain_api.client(state, endpoints, reason)
    if not drain_id:
        own = [one for one in await drain_api.active(api) if one.is_of(reason)]
        drain_id = own[0].drain_id if own else ""
    if drain_id:
        await drain_api.end(api, drain_id)
    left = await drain_api.active(api)
    for one in left:
        say(f"Still active: drain {one}. To end it: drain --undo --id {one.drain_id}")
    if not left:
        say("No drain is active: queued deploys start now.")


async def _give_up(api: ApiClient, active: Drain, say: Say) -> None:
    try:
        await drain_api.end(api, active.drain_id)
    except StartupError as error:
        say(f"The drain could not be ended: {error} Then run drain --undo --id {active.drain_id}.")
    else:
        say("Drain cancelled: queued deploys resume, unless another drain is active.")


@dataclass
class _Drain:
    state: StateDir
    api: ApiClient
    active: Drain
    say: Say
    _shown: dict[str, str] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)
    _outcomes: dict[str, str] = field(default_factory=dict)
    _last: Status = field(default_factory=Status)

    async def run(self, timeout_s: float, *, may_kill: bool) -> bool:
        self.say(f"Draining: new deploys are recorded and start after {self.active.ended_by}.")
        if await self._wait(timeout_s):
            return self._done()
        self.say(f"Not quiet after {timeout_s:.0f} s: cancelling what can be cancelled.")
        is_quiet = await self._wait(CANCEL_WAIT_S, cancelling=True)
        for ident in sorted(self._asked):
            if self._outcomes.get(ident) == "cancelled":
                self.say(f"Cancelled: {ident}")
        if is_quiet or (may_kill and await self._kill()):
            return self._done()
        self.say(f"Still under way: {', '.join(self._shown)}. See the logs in {self.state.logs}.")
        return False

    def _done(self) -> bool:
        self.say(f"Quiet: nothing is under way, {self._last.recorded} recorded meanwhile.")
        if self.active.is_own:
            self.say(
                "Upgrade and start the stack again: what was recorded starts then. Without an upgrade: drain --undo."
            )
        else:
            self.say(f"What was recorded starts after drain --undo --id {self.active.drain_id}.")
        return True

    async def _wait(self, timeout_s: float, *, cancelling: bool = False) -> bool:
        """Until two polls in a row find nothing: what an api that died has just sent shows up between them."""
        loop = asyncio.get_running_loop()
        end, quiet_polls = loop.time() + timeout_s, 0
        while True:
            under_way = await self._poll()
            quiet_polls = 0 if under_way else quiet_polls + 1
            if quiet_polls == 2:
                return True
            if cancelling:
                await self._cancel()
            if loop.time() >= end:
                return False
            await asyncio.sleep(POLL_S)

    async def _poll(self, *, with_work: bool = True) -> dict[str, str]:
        """What is under way, by id, as text; prints what has changed.

        Args:
            with_work: False looks at the workflow engine alone, as `kill` leaves rows without an outcome.

        Raises:
            StartupError: the drain is not active any more.
        """
        known = [ident for ident in {*self._shown, *self._asked} if ident.partition("_")[0] in {"dep", "op", "bld"}]
        try:
            status = await drain_api.read_status(self.api, known)
        except ApiAwayError:
            found = self._shown | {API: "does not answer"}
        except ApiRefusedError as error:
            found = self._shown | {API: f"refuses: {error}"}
        else:
            if self.active.drain_id not in {one.drain_id for one in status.drains}:
                raise StartupError("the drain was ended from elsewhere: by a start of the stack, or by drain --undo.")
            self._last = status
            found = await self._under_way(status, with_work=with_work)
            for work in status.ended:
                self._outcomes[work.id] = work.status
                if work.id in self._shown:
                    self.say(f"  {work.id}  {work.status}")
        for ident, text in found.items():
            if self._shown.get(ident) != text:
                self.say(f"  {ident}  {text}")
        self._shown = found
        return found

    async def _under_way(self, status: Status, *, with_work: bool) -> dict[str, str]:
        # no new work may start first: from then on the work in progress only becomes less
        waits = {} if status.is_holding else {API: "does not hold new work back yet"}
        if with_work:
            waits |= {work.id: f"{work.kind}: {work.status}" for work in status.in_progress}
            waits |= dict.fromkeys(status.invocations, f"in the {ENGINE}")
            return waits | ({ENGINE: status.problem} if status.problem else {})
        try:
            return waits | {row["target"]: f"in the {ENGINE}" for row in await self._query(_HALF_DONE)}
        except OSError:
            return waits | {ENGINE: "does not answer"}

    async def _cancel(self) -> None:
        """Cancel all that can be cancelled, once each; a call that fails is repeated at the next poll."""
        for work in self._last.in_progress:
            if work.kind not in _CANCEL or work.id in self._asked:
                continue
            method, name = _CANCEL[work.kind]
            with contextlib.suppress(ApiAwayError):
                try:
                    await self.api.call(method, {name: work.id}, timeout_s=ASK_TIMEOUT_S)
                except ApiRefusedError as error:
                    self.say(f"  {work.id}  {error}")
                self._asked.add(work.id)

    async def _kill(self) -> bool:
        """End all that the workflow engine has half done; whether it is quiet then.

        The api's reconciliation and the worker's sweep find what that leaves behind, as after any other loss.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + KILL_WAIT_S
        while loop.time() < end:
            with contextlib.suppress(OSError):
                for row in await self._query(_HALF_DONE):
                    path = f"/invocations/{row['id']}/kill"
                    await local_http.request(self._admin, path, method="PATCH", timeout_s=ASK_TIMEOUT_S)
                    self.say(f"Ended in the {ENGINE}: {row['target']}; the next start undoes what it did.")
            if not await self._poll(with_work=False):
                return True
            await asyncio.sleep(POLL_S)
        return False

    @property
    def _admin(self) -> str:
        return f"unix://{self.state.restate_sockets / 'admin.sock'}"

    async def _query(self, statement: str) -> list[dict[str, str]]:
        """Rows of Restate's own tables. Raises OSError: it does not answer, or not with rows."""
        answer = await local_http.request(
            self._admin, "/query", method="POST", body=json.dumps({"query": statement}).encode(),
            content_type="application/json", accept="application/json", timeout_s=ASK_TIMEOUT_S,
        )  # fmt: skip
        try:
            rows: list[dict[str, str]] = answer.json()["rows"]
        except (ValueError, KeyError, TypeError) as error:
            raise OSError(f"Restate answered {answer.status} without rows") from error
        return rows
