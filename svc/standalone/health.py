"""Health checks of the processes of a stack, over their sockets and ports."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pkg import local_http
from pkg.docker import Engine
from svc.standalone.files import replace
from svc.standalone.statedir import StateDir

POLL_S = 0.05
# The kernel takes connections for it; it does not answer.
HANGS = "hangs: no answer within 2 s; the supervisor restarts it if that lasts"


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running stack answers. Lies in run/stack.json for `status`, `down`, scripts and tests."""

    pid: int
    state_dir: str
    api: str
    http: str
    worker: str
    # Empty: not served.
    worker_metrics: str = ""
    krane_metrics: str = ""
    ingress: str
    ingress_tls: str = ""
    # Of the api through the ingress; empty: it is not served there by HTTPS.
    api_url: str = ""
    apex_domain: str
    region: str
    engine_socket: str
    engine_is_private: bool

    def write(self, state: StateDir) -> None:
        """Into the run directory, in one step."""
        replace(state.run / "stack.json", msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n")


def read_endpoints(state: StateDir) -> Endpoints | None:
    """Of the stack that runs, or ran last, in this state directory; None before the first start."""
    try:
        return msgspec.json.decode((state.run / "stack.json").read_bytes(), type=Endpoints)
    except (OSError, msgspec.DecodeError):
        return None


@dataclass(frozen=True)
class Check:
    """One line of the status table. `ask` returns "" for a healthy process, else the problem."""

    name: str
    where: str
    ask: Callable[[], Awaitable[str]]


def checks(state: StateDir, endpoints: Endpoints) -> list[Check]:
    """What has to hold before the stack takes a deploy, in the order in which it comes up."""
    sockets = state.restate_sockets
    admin = f"unix://{sockets / 'admin.sock'}"

    async def reacts(service: str) -> bool:
        return await local_http.reacts(f"unix://{state.liveness(service)}", "/", timeout_s=2.0)

    async def ask_engine() -> str:
        return "" if await Engine(Path(endpoints.engine_socket)).is_answering() else "does not answer"

    async def ask_restate() -> str:
        ready = await local_http.answers(admin, "/health") and await local_http.answers(
            f"unix://{sockets / 'ingress.sock'}", "/restate/health"
        )
        return "" if ready else "does not answer"

    async def ask_api() -> str:
        if not await reacts("api"):
            return HANGS
        try:
            answer = await local_http.request(endpoints.http, "/health/ready", timeout_s=5.0)
        except OSError:
            return "does not answer"
        return "" if answer.status == 200 else f"not ready: {answer.body.decode(errors='replace')[:200].strip()}"

    async def ask_worker() -> str:
        if not await reacts("worker"):
            return HANGS
        if not await local_http.accepts(endpoints.worker):
            return "does not answer"
        try:
            listed = (await local_http.request(admin, "/deployments", timeout_s=2.0)).json()
        except (OSError, ValueError):
            return "Restate does not say whether it is registered"
        # Restate writes the address with a slash at its end.
        known = [str(item.get("uri", "")).rstrip("/") for item in listed.get("deployments", [])]
        return "" if f"http://{endpoints.worker}" in known else "not yet registered with Restate"

    async def ask_krane() -> str:
        if not await reacts("krane"):
            return HANGS
        return "" if await local_http.accepts(f"unix://{state.socket('ads')}") else "does not answer"

    async def ask_envoy() -> str:
        try:
            answer = await local_http.request(f"unix://{state.socket('envoy')}", "/ready", timeout_s=2.0)
        except OSError:
            return "does not answer"
        listens = [endpoints.ingress, *([endpoints.ingress_tls] if endpoints.ingress_tls else [])]
        accepting = await asyncio.gather(*map(local_http.accepts, listens))
        return "" if answer.status == 200 and all(accepting) else "waits for krane to say what to serve"

    kind = "private engine" if endpoints.engine_is_private else "the machine's engine"
    return [
        Check("engine", f"{endpoints.engine_socket} ({kind})", ask_engine),
        Check("restate", str(sockets), ask_restate),
        Check("api", _api(endpoints), ask_api),
        Check("worker", endpoints.worker + _and_metrics(endpoints.worker_metrics), ask_worker),
        Check("krane", str(state.socket("ads")) + _and_metrics(endpoints.krane_metrics), ask_krane),
        Check("envoy", _apps(endpoints), ask_envoy),
    ]


def _api(endpoints: Endpoints) -> str:
    local = f"{endpoints.api} (gRPC), http://{endpoints.http}"
    return f"{local}, {endpoints.api_url}" if endpoints.api_url else local


def _apps(endpoints: Endpoints) -> str:
    plain = f"http://<label>.{endpoints.apex_domain}:{endpoints.ingress.rpartition(':')[2]}"
    return plain + (f", https: {endpoints.ingress_tls.rpartition(':')[2]}" if endpoints.ingress_tls else "")


def _and_metrics(address: str) -> str:
    return f", http://{address}/metrics" if address else ""


async def ask_all(asked: list[Check]) -> dict[str, str]:
    """What is wrong with each process; "" for a healthy one."""
    said = await asyncio.gather(*(check.ask() for check in asked))
    return {check.name: text for check, text in zip(asked, said, strict=True)}


async def wait_healthy(asked: list[Check], timeout_s: float) -> dict[str, str]:
    """What is still wrong after the wait; empty as soon as every process was healthy once."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    missing = {check.name: "not checked yet" for check in asked}
    while missing and loop.time() < end:
        found = await ask_all([check for check in asked if check.name in missing])
        missing = {process: text for process, text in found.items() if text}
        if missing:
            await asyncio.sleep(POLL_S)
    return missing


def table(asked: list[Check], wrong: dict[str, str], pids: dict[str, int | None]) -> str:
    """For people: one line a process."""
    width = max(len(check.where) for check in asked)
    lines = [f"  {'process':<8} {'pid':>7}  {'where':<{width}}  state"]
    for check in asked:
        pid = pids.get(check.name)
        lines.append(f"  {check.name:<8} {pid or '-':>7}  {check.where:<{width}}  {wrong.get(check.name) or 'ok'}")
    return "\n".join(lines)


def as_json(
    endpoints: Endpoints,
    wrong: dict[str, str],
    pids: dict[str, int | None],
    drains: Sequence[Mapping[str, object]],
    isolation: Mapping[str, object] | None = None,
) -> str:
    """For programs: one object."""
    return json.dumps(
        {
            "ready": not any(wrong.values()),
            "draining_since": drains[0]["began_at"] if drains else None,
            "drains": drains,
            "isolation": isolation,
            "endpoints": msgspec.to_builtins(endpoints),
            # the key that scripts read
            "parts": {process: {"pid": pids.get(process), "problem": problem} for process, problem in wrong.items()},
        }
    )
