"""`drain`: before an upgrade, let what is under way end, and begin nothing new. Nothing is refused meanwhile.

Other code may have other steps, and can't go on where this one was cut off. Quiet means that no intent that was begun
is without an outcome, and that the workflow engine has nothing half done. A drain that does not get there, or is
interrupted, takes its mark back.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from pkg import local_http
from svc.standalone import draining
from svc.standalone.errors import StartupError
from svc.standalone.health import Endpoints, read_endpoints
from svc.standalone.process import read_pidfile
from svc.standalone.statedir import StateDir

LOOK_EVERY_S = 0.5
# What was cancelled is undone, what could not be is past its last wait but for the ingress.
CANCEL_WAIT_S = 300.0
KILL_WAIT_S = 30.0
ASK_TIMEOUT_S = 5.0

API = "api"
RESTATE = "restate"
# A scheduled invocation has not begun: it has no steps yet.
_HALF_DONE = "SELECT id, target FROM sys_invocation WHERE status NOT IN ('completed', 'scheduled') LIMIT 100"
_CANCEL = {
    "deploy": ("DeploymentService/CancelDeployment", "deploymentId"),
    "build": ("BuildService/CancelBuild", "buildId"),
}

Say = Callable[[str], None]


async def drain(state: StateDir, timeout_s: float, say: Say, *, may_kill: bool = False) -> bool:
    """Mark the installation as draining and wait until it is quiet. May be repeated, also at the same time.

    Args:
        state: of a stack that runs.
        timeout_s: after it, deploys and builds that are under way are cancelled.
        say: told each change of what is waited for.
        may_kill: end in the workflow engine what is under way even then, such as a deploy that other code has begun and
            this one refuses to go on with. The api's next start ends it as failed and undoes what it did.

    Returns:
        Whether it is quiet. The mark stays then, until the next start; else it is taken back.

    Raises:
        StartupError: no stack runs, or its database can't be used.
    """
    endpoints = read_pidfile(state.pidfile("supervisor")) and read_endpoints(state)
    if not endpoints:
        raise StartupError(f"No supervisor runs in {state.root}: start it, so that what is under way can end.")
    draining.mark(state)
    is_quiet = False
    try:
        is_quiet = await _Drain(state, endpoints, say).run(timeout_s, may_kill=may_kill)
    finally:
        if not is_quiet and draining.since(state) is not None:
            draining.unmark(state)
            say("The mark is taken back: what was recorded meanwhile begins now.")
    return is_quiet


@dataclass
class _Drain:
    state: StateDir
    endpoints: Endpoints
    say: Say
    _shown: dict[str, str] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    @property
    def _admin(self) -> str:
        return f"unix://{self.state.restate_sockets / 'admin.sock'}"

    async def run(self, timeout_s: float, *, may_kill: bool) -> bool:
        self.say("Draining: new deploys are recorded and begin after the next start.")
        if await self._wait(timeout_s):
            return self._done()
        self.say(f"Not quiet after {timeout_s:.0f} s: cancelling what can be.")
        is_quiet = await self._wait(CANCEL_WAIT_S, cancelling=True)
        for ident in sorted(self._asked):
            if draining.outcome(self.state, ident) == "cancelled":
                self.say(f"Cancelled: {ident}")
        if is_quiet or (may_kill and await self._kill()):
            return self._done()
        self.say(f"Still under way: {', '.join(self._shown)}. See the logs in {self.state.logs}.")
        return False

    def _done(self) -> bool:
        waiting = [intent.id for intent in draining.intents(self.state) if not intent.is_begun]
        self.say(f"Quiet: nothing is under way, {len(waiting)} recorded meanwhile.")
        self.say("Upgrade and start the stack again: what was recorded begins then. To go on without: drain --undo.")
        return True

    async def _wait(self, timeout_s: float, *, cancelling: bool = False) -> bool:
        """Until two looks in a row find nothing: what an api that died has just sent shows up between them."""
        loop = asyncio.get_running_loop()
        end, quiet_looks = loop.time() + timeout_s, 0
        while True:
            under_way = await self._look()
            self._show(under_way)
            quiet_looks = 0 if under_way else quiet_looks + 1
            if quiet_looks == 2:
                return True
            if draining.since(self.state) is None:
                raise StartupError("the drain was ended by someone else: by a start of the stack, or by drain --undo.")
            if cancelling:
                await self._cancel()
            if loop.time() >= end:
                return False
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> dict[str, str]:
        """What is under way, by id, in words; asks for the next thing only once the one before is quiet."""
        # First of all nothing new may begin: from then on what is found can only become less.
        if problem := await self._api_holds():
            return self._intents() | {API: problem}
        return self._intents() or await self._half_done()

    def _intents(self) -> dict[str, str]:
        begun = (intent for intent in draining.intents(self.state) if intent.is_begun)
        return {intent.id: f"{intent.what}: {intent.status}" for intent in begun}

    async def _api_holds(self) -> str:
        try:
            answer = await self._ask("CtrlService/GetServerInfo", {})
            if answer.status != 200:
                return f"refuses: {_message(answer)}"
            return "" if answer.json().get("isDraining") else "has not seen the mark yet"
        except (OSError, ValueError):
            return "does not answer"

    async def _half_done(self) -> dict[str, str]:
        try:
            return {row["target"]: "in the workflow engine" for row in await self._query(_HALF_DONE)}
        except OSError:
            return {RESTATE: "does not answer"}

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

    async def _cancel(self) -> None:
        """Ask for the end of all that can be cancelled, once each; what could not be asked is for the next look."""
        for intent in draining.intents(self.state):
            if not intent.is_begun or intent.what not in _CANCEL or intent.id in self._asked:
                continue
            path, name = _CANCEL[intent.what]
            try:
                answer = await self._ask(path, {name: intent.id})
            except OSError:
                continue
            self._asked.add(intent.id)
            if answer.status != 200:
                self.say(f"  {intent.id}  {_message(answer)}")

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
                    self.say(f"Ended in the workflow engine: {row['target']}; the next start undoes what it did.")
            problem = await self._api_holds()
            under_way = {API: problem} if problem else await self._half_done()
            self._show(under_way)
            if not under_way:
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    async def _ask(self, method: str, body: dict[str, str]) -> local_http.Answer:
        """A call of the api, with the key of this machine's operator."""
        key = (self.state.secrets / "admin.key").read_text(encoding="utf-8").strip()
        return await local_http.request(
            self.endpoints.http, f"/sealift.ctrl.v1.{method}", method="POST", body=json.dumps(body).encode(),
            content_type="application/json", bearer=key, timeout_s=ASK_TIMEOUT_S,
        )  # fmt: skip

    def _show(self, under_way: dict[str, str]) -> None:
        for ident in self._shown.keys() - under_way.keys():
            if ident.startswith(("dep_", "op_", "bld_")):
                self.say(f"  {ident}  {draining.outcome(self.state, ident)}")
        for ident, words in under_way.items():
            if self._shown.get(ident) != words:
                self.say(f"  {ident}  {words}")
        self._shown = under_way


def _message(answer: local_http.Answer) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status}"
