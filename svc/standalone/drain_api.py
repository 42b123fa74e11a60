"""Drains, as the supervisor begins, reads and ends them through the api.

An upgrade drain is the supervisor's own: its next start ends it once every process works. An operator's drain begins
with the operator's key and outlives restarts. The api distinguishes them by the key that began the drain.
"""

import asyncio
import logging
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from svc.standalone.api_client import UNIMPLEMENTED, ApiAwayError, ApiClient, ApiRefusedError
from svc.standalone.errors import StartupError
from svc.standalone.health import Endpoints, read_endpoints
from svc.standalone.process import read_pidfile
from svc.standalone.secrets import ADMIN_KEY_FILE, ADMIN_KEY_NAME, SUPERVISOR_KEY_FILE, SUPERVISOR_KEY_NAME
from svc.standalone.statedir import StateDir

# An api that was killed is started again at once.
AWAY_FOR_S = 10.0
RETRY_S = 1.0
WORK_IDS_AT_ONCE = 1000  # of one call, as ctrl.proto says
_PREFIX = "DRAIN_REASON_"

log = logging.getLogger(__name__)


class Reason(StrEnum):
    """Why new work is held back."""

    UPGRADE = "upgrade"
    OPERATOR = "operator"


class Drain(msgspec.Struct, frozen=True, rename="camel"):
    """An active drain, as the api reports it."""

    drain_id: str
    reason: str
    client: str
    began_at: str

    @property
    def began_ms(self) -> int:
        """Epoch milliseconds."""
        return int(self.began_at)

    @property
    def is_operators(self) -> bool:
        """Whether a person wants it."""
        return self.reason == _PREFIX + "OPERATOR"

    @property
    def is_own(self) -> bool:
        """Whether a start of the supervisor ends it."""
        return self.reason == _PREFIX + "UPGRADE" and self.client == SUPERVISOR_KEY_NAME

    def is_of(self, reason: Reason) -> bool:
        """Whether it is the one that commands on this machine begin for the reason."""
        return self.is_own if reason is Reason.UPGRADE else self.is_operators and self.client == ADMIN_KEY_NAME

    @property
    def ended_by(self) -> str:
        """What ends it, for people."""
        return "the next start" if self.is_own else f"`drain --undo --id {self.drain_id}`"

    def as_json(self) -> dict[str, object]:
        """For programs, with the time in epoch milliseconds."""
        reason = self.reason.removeprefix(_PREFIX).lower()
        return {"id": self.drain_id, "reason": reason, "client": self.client, "began_at": self.began_ms}

    def __str__(self) -> str:
        return f"{self.drain_id} ({'operator' if self.is_operators else 'upgrade'}, begun by key {self.client})"


class Work(msgspec.Struct, frozen=True):
    """A deploy, an operation or a build."""

    id: str
    kind: str = ""
    status: str = ""


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """Active drains and what they wait for; see GetDrainStatusResponse of the protos."""

    drains: tuple[Drain, ...] = ()
    is_holding: bool = False
    in_progress: tuple[Work, ...] = ()
    ended: tuple[Work, ...] = ()
    recorded: int = 0
    is_quiet: bool = False
    invocations: tuple[str, ...] = ()
    problem: str = ""


def running(state: StateDir) -> Endpoints:
    """Where the stack answers. Raises StartupError: none runs."""
    endpoints = read_pidfile(state.pidfile("supervisor")) and read_endpoints(state)
    if not endpoints:
        raise StartupError(
            f"No supervisor runs in {state.root}: start it, so that what is under way can end. A start ends an upgrade "
            "drain by itself, and no operator's drain."
        )
    return endpoints


def client(state: StateDir, endpoints: Endpoints, reason: Reason) -> ApiClient:
    """A client with the key that begins drains of this reason."""
    name = SUPERVISOR_KEY_FILE if reason is Reason.UPGRADE else ADMIN_KEY_FILE
    return ApiClient(endpoints.http, state.secrets / name)


async def begin(api: ApiClient, reason: Reason) -> Drain:
    """Begin a drain, or find the one that this key began for this reason. Idempotent.

    Raises:
        StartupError: the api does not answer, or does not know drains; says what to do.
    """
    answer = await _ask(api, "BeginDrain", {"reason": _PREFIX + reason.upper()})
    return msgspec.convert(answer["drain"], Drain)


async def end(api: ApiClient, drain_id: str) -> None:
    """End a drain: with the last one, what was recorded starts at once. Idempotent. Raises StartupError as `begin`."""
    await _ask(api, "EndDrain", {"drainId": drain_id})


async def read_status(api: ApiClient, work_ids: Sequence[str] = (), *, timeout_s: float = 5.0) -> Status:
    """Active drains and what they wait for, and which of any number of `work_ids` have ended.

    Raises ApiAwayError and ApiRefusedError.
    """
    ended: tuple[Work, ...] = ()
    for start in range(0, max(len(work_ids), 1), WORK_IDS_AT_ONCE):
        some = list(work_ids[start : start + WORK_IDS_AT_ONCE])
        answer = await api.call("CtrlService/GetDrainStatus", {"workIds": some}, timeout_s=timeout_s)
        status = msgspec.convert(answer, Status)
        ended += status.ended
    return msgspec.structs.replace(status, ended=ended)


async def active(api: ApiClient) -> tuple[Drain, ...]:
    """The active drains, oldest first. Raises StartupError as `begin`."""
    return msgspec.convert(await _ask(api, "GetDrainStatus", {}), Status).drains


async def end_own(api: ApiClient) -> tuple[list[Drain], list[Drain]]:
    """End the supervisor's upgrade drains, however long the api is away: those ended, and those that stay active."""
    was_logged = False
    while True:
        try:
            found = (await read_status(api)).drains
            own = [drain for drain in found if drain.is_own]
            for drain in own:
                await api.call("CtrlService/EndDrain", {"drainId": drain.drain_id})
        except (ApiRefusedError, OSError) as error:
            if not was_logged:
                log.warning("an upgrade drain, if there is one, can't be ended yet: %s", error)
                was_logged = True
            await asyncio.sleep(RETRY_S)
        else:
            return own, [drain for drain in found if not drain.is_own]


async def _ask(api: ApiClient, method: str, body: dict[str, Any]) -> dict[str, Any]:
    """One call; waits for an api that is starting again."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + AWAY_FOR_S
    while True:
        try:
            return await api.call(f"CtrlService/{method}", body)
        except FileNotFoundError as error:
            raise StartupError(
                f"{api.key_file} is missing: the stack that runs was started by code that has no drains of this kind. "
                "Drain with that code, or start the stack with this code once."
            ) from error
        except ApiAwayError as error:
            if loop.time() >= deadline:
                raise StartupError(
                    f"{error}. Drains begin and end through it: `status` shows what runs, and logs/api.log below "
                    "the state directory why it does not."
                ) from error
        except ApiRefusedError as error:
            if error.code == UNIMPLEMENTED:
                raise StartupError(
                    f"{error}: it is older than this code. Drain with the code that runs, or start the stack with this "
                    "code once."
                ) from error
            if error.code != "unavailable" or loop.time() >= deadline:
                raise StartupError(f"the api refuses: {error}") from error
        await asyncio.sleep(RETRY_S / 4)
