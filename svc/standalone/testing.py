"""A stand-in for the api in tests of the supervisor: its JSON methods, answered by a function."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from svc.standalone import drain_api
from svc.standalone.health import Endpoints
from svc.standalone.statedir import StateDir

# status and body of an answer to (method, request)
Answer = Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]


@asynccontextmanager
async def api(answer: Answer) -> AsyncIterator[str]:
    """Its address, host:port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
        method = head.split()[1].rpartition(".")[2]
        status, body = answer(method, json.loads(await reader.readexactly(length)))
        raw = json.dumps(body).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


def endpoints(state: StateDir, http: str) -> Endpoints:
    """Of a stack whose api listens at `http`."""
    return Endpoints(
        pid=1, state_dir=str(state.root), api="h:1", http=http, worker="h:3", ingress="h:4", apex_domain="a.localhost",
        region="local", engine_socket="/none", engine_is_private=False,
    )  # fmt: skip


class Drains:
    """What the api knows of drains: an `Answer`.

    Attributes:
        active: their JSON, by id.
        calls: each (method, request).
        refusals: answered first, one a call.
    """

    def __init__(self, *active: dict[str, Any]) -> None:
        self.active = {drain["drainId"]: drain for drain in active}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[tuple[int, dict[str, Any]]] = []

    def __call__(self, method: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The answer."""
        self.calls.append((method, request))
        if self.refusals:
            return self.refusals.pop(0)
        match method:
            case "CtrlService/EndDrain":
                self.active.pop(request["drainId"], None)
                return 200, {"drain": {}}
            case "CtrlService/GetDrainStatus":
                if len(request.get("workIds", ())) > drain_api.WORK_IDS_AT_ONCE:
                    return 400, {"code": "invalid_argument", "message": "work_ids: at most 1000"}
                ended = [{"id": one, "status": "cancelled"} for one in request.get("workIds", ())]
                active = list(self.active.values())
                return 200, {"drains": active, "isHolding": bool(active), "isQuiet": True, "ended": ended}
        return 404, {"code": "not_found", "message": method}


def drain(drain_id: str, reason: str, client: str) -> dict[str, Any]:
    """The JSON of an active drain."""
    return {"drainId": drain_id, "reason": f"DRAIN_REASON_{reason}", "client": client, "beganAt": "7", "endedAt": "0"}
