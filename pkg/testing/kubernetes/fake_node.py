"""A node without a kubelet: `python -m pkg.testing.kubernetes.fake_node NAME KUBECONFIG`.

It registers the Node NAME, keeps it Ready, and plays the status of each Pod that the scheduler gives it through the
real API. Each Pod has an address in 127.0.0.0/8 of its own, on which it answers HTTP with its name: on the ports that
its containers declare, else on PORT of its variables, else on 8080. A request for `/exit/N` ends its container with
that code, a variable EXIT at once. Containers are started again as by a kubelet. `logs` and `stats` answer, `exec` does
not.

The last part of an image's name, without tag and digest, decides what becomes of a Pod (`PodOutcome`); everything else
becomes Ready at once. A Pod that asks for more than SIZE fits no node, as the real scheduler says.
SIGUSR1 cuts the node off from the API server, SIGUSR2 connects it again; its Pods answer all the time.
"""

import asyncio
import base64
import datetime
import itertools
import json
import logging
import random
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from pkg.testing.certificates import Authority

SIZE = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
HEARTBEAT_S = 2.0
RETRY_S = 0.2
STEP_S = 0.3
DEFAULT_PORT = 8080
# As a kubelet: the first restart is at once, the next after this time, then twice as long each time.
BACK_OFF_S = 10
MAX_BACK_OFF_S = 300
# A variable of the app: it ends at once with this code.
EXIT = "EXIT"
EXIT_LOG = "as told\n"
CRASH_LOG = "line 1\nline 2\nthe application gave up\n"
# Each node of this machine takes one of these ranges for its Pods: 127.64.0.0/16 to 127.123.0.0/16.
_RANGES = range(64, 124)
_CLAIM_PORT = 9999
_MERGE = "application/merge-patch+json"
# As a kubelet: conditions of others stay.
_STRATEGIC = "application/strategic-merge-patch+json"
_UNBOUNDED = aiohttp.ClientTimeout(total=None)
_log = logging.getLogger("fake_node")

Object = dict[str, Any]


class PodOutcome(StrEnum):
    """What becomes of a Pod."""

    READY = "ready"
    PULL_DENIED = "pull-denied"  # ErrImagePull, then ImagePullBackOff
    CRASHES = "crashes"  # exit code 3, again and again: CrashLoopBackOff
    OUT_OF_MEMORY = "out-of-memory"  # OOMKilled, exit code 137, again and again
    EXITS = "exits"  # exit code 0, once it was ready; then CrashLoopBackOff
    NEVER_READY = "never-ready"  # runs, but is not Ready and does not answer
    IGNORES_TERM = "ignores-term"  # goes away after its grace period only


PULL_MESSAGE = (
    'failed to resolve reference "{image}": pull access denied, repository does not exist or may require authorization'
)


def outcome_of(pod: Object) -> PodOutcome:
    """By the first container's image."""
    name = pod["spec"]["containers"][0]["image"].split("@")[0].rsplit("/", 1)[-1].split(":")[0]
    return PodOutcome(name) if name in set(PodOutcome) else PodOutcome.READY


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ended(code: int, message: str = "", reason: str = "") -> Object:
    ended: Object = {"exitCode": code, "startedAt": _now(), "finishedAt": _now()}
    ended["reason"] = reason or ("Error" if code else "Completed")
    return {"terminated": {**ended, "message": message} if message else ended}


# code, message, reason
_ENDS: dict[PodOutcome, tuple[int, str, str]] = {
    PodOutcome.CRASHES: (3, CRASH_LOG, ""),
    PodOutcome.OUT_OF_MEMORY: (137, "", "OOMKilled"),
    PodOutcome.EXITS: (0, "", ""),
}


def _waits(reason: str, message: str) -> Object:
    return {"waiting": {"reason": reason, "message": message}}


@dataclass
class _Pod:
    """One Pod of this node.

    Attributes:
        task: plays its status.
        servers: answer on its address.
    """

    address: str
    started_at: str = field(default_factory=_now)
    restarts: int = 0
    task: asyncio.Task[None] | None = None
    servers: list[asyncio.Server] = field(default_factory=list)
    requests: int = 0
    printed: list[tuple[str, str]] = field(default_factory=list)  # by the container that runs: when, and what
    has_printed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def print(self, text: str) -> None:
        async with self.has_printed:
            now = datetime.datetime.now(datetime.UTC)
            self.printed.append((now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), text))
            self.has_printed.notify_all()

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.servers.clear()


class FakeNode:
    """The node, see the module."""

    def __init__(self, name: str, api: aiohttp.ClientSession) -> None:
        self._name = name
        self._api = api
        self._pods: dict[str, _Pod] = {}
        self._connected = asyncio.Event()
        self._connected.set()
        self._claim, self._next = _claim_addresses()
        self._log_port = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._connected.clear)
        loop.add_signal_handler(signal.SIGUSR2, self._connected.set)
        self._log_port = await self._serve_logs()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._heartbeats())
            tasks.create_task(self._watch())

    async def _serve_logs(self) -> int:
        application = web.Application()
        application.router.add_get("/stats/summary", self._answer_stats)
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._answer_logs)
        runner = web.AppRunner(application)
        await runner.setup()
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Authority().issue("127.0.0.1").write(Path(folder), "node")
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trust.load_cert_chain(certificate, key)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust)
        await site.start()
        return int(runner.addresses[0][1])

    async def _answer_stats(self, request: web.Request) -> web.Response:
        """Each request that a Pod answers takes a millisecond of CPU."""
        pods = [
            {
                "podRef": {"name": "any", "namespace": "any", "uid": uid},
                "containers": [{
                    "name": "app",
                    "cpu": {"usageCoreNanoSeconds": (mine.requests + 1) * 1_000_000},
                    "memory": {"workingSetBytes": 10 << 20},
                }],
                "network": {"rxBytes": mine.requests * 100, "txBytes": mine.requests * 200},
            }
            for uid, mine in self._pods.items() if mine.servers
        ]  # fmt: skip
        return web.json_response({"node": {"nodeName": self._name}, "pods": pods})

    async def _answer_logs(self, request: web.Request) -> web.StreamResponse:
        _, pod = await self._call(
            "GET", f"/api/v1/namespaces/{request.match_info['namespace']}/pods/{request.match_info['pod']}"
        )
        status = (pod.get("status", {}).get("containerStatuses") or [{}])[0]
        states = [status.get(part, {}) for part in ("state", "lastState")]
        ended = [state["terminated"] for state in states if "terminated" in state]
        is_ready = outcome_of(pod) is PodOutcome.READY
        if "timestamps" in request.query:
            return await self._follow_log(request, self._pods[pod["metadata"]["uid"]], ended[0] if ended else {})
        text = f"{request.match_info['pod']} is ready\n" if is_ready else CRASH_LOG
        text = ended[0].get("message") or text if ended else text
        tail = int(request.query.get("tailLines", "0"))
        return web.Response(text="".join(text.splitlines(keepends=True)[-tail:]))

    async def _follow_log(self, request: web.Request, mine: _Pod, ended: Object) -> web.StreamResponse:
        """What the container printed, each line with its time, until it ends."""
        answer = web.StreamResponse()
        await answer.prepare(request)
        since, printed, at = request.query.get("sinceTime", ""), mine.printed, 0
        if (message := ended.get("message", "")) and ended["finishedAt"] >= since:
            await answer.write("".join(f"{ended['finishedAt']} {line}\n" for line in message.splitlines()).encode())
        while mine.printed is printed:
            lines, at = printed[at:], len(printed)
            await answer.write("".join(f"{when} {what}\n" for when, what in lines if when >= since).encode())
            async with mine.has_printed:
                if not mine.servers or "follow" not in request.query:
                    break
                if at == len(printed):
                    await mine.has_printed.wait()
        return answer

    async def _call(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> tuple[int, Object]:
        data = json.dumps(body) if body is not None else None
        async with self._api.request(method, path, data=data, headers={"Content-Type": kind}) as answer:
            return answer.status, await answer.json()

    async def _heartbeats(self) -> None:
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self._name, "labels": {"kubernetes.io/hostname": self._name}},
        }
        while True:
            await self._connected.wait()
            with suppress(aiohttp.ClientError, TimeoutError):
                ready = {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Fake",
                    "message": "fake",
                    "lastHeartbeatTime": _now(),
                }
                status = {
                    "capacity": SIZE, "allocatable": SIZE, "conditions": [ready],
                    "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": self._log_port}},
                }  # fmt: skip
                code, _ = await self._call("PATCH", f"/api/v1/nodes/{self._name}/status", {"status": status}, _MERGE)
                if code == 404:
                    await self._call("POST", "/api/v1/nodes", node)
                    continue
            await asyncio.sleep(HEARTBEAT_S)

    async def _watch(self) -> None:
        """Lists and watches the Pods of this node; begins again whenever that ends."""
        chosen = {"fieldSelector": f"spec.nodeName={self._name}"}
        while True:
            try:
                await self._connected.wait()
                async with self._api.get("/api/v1/pods", params=chosen) as answer:
                    answer.raise_for_status()
                    listing = await answer.json()
                for gone in self._pods.keys() - {pod["metadata"]["uid"] for pod in listing["items"]}:
                    self._drop(gone)
                for pod in listing["items"]:
                    self._see(pod)
                version = {
                    "watch": "true",
                    "timeoutSeconds": "300",
                    "resourceVersion": listing["metadata"]["resourceVersion"],
                }
                async with self._api.get(
                    "/api/v1/pods", params=chosen | version, timeout=aiohttp.ClientTimeout(None)
                ) as answer:
                    async for line in answer.content:
                        event = json.loads(line)
                        if not self._connected.is_set() or event["type"] == "ERROR":
                            break
                        if event["type"] == "DELETED":
                            self._drop(event["object"]["metadata"]["uid"])
                        else:
                            self._see(event["object"])
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                _log.info("the watch ended: %r", error)
            await asyncio.sleep(RETRY_S)

    def _drop(self, uid: str) -> None:
        if gone := self._pods.pop(uid, None):
            gone.close()
            if gone.task:
                gone.task.cancel()

    def _see(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._pods:
            self._pods[uid] = _Pod(str(IPv4Address(self._next)))
            self._next += 1
            self._pods[uid].task = asyncio.create_task(self._play(self._pods[uid], pod), name="play")
        mine = self._pods[uid]
        if pod["spec"].get("activeDeadlineSeconds", 1 << 20) < 60 and mine.task and mine.task.get_name() == "play":
            mine.task.cancel()
            mine.task = asyncio.create_task(self._expire(mine, pod), name="expire")
        if pod["metadata"].get("deletionTimestamp") and mine.task and mine.task.get_name() != "end":
            mine.task.cancel()
            mine.task = asyncio.create_task(self._finish(mine, pod), name="end")

    async def _expire(self, mine: _Pod, pod: Object) -> None:
        """As a kubelet of 1.20: the Pod has failed at once, and its status says nothing of containers any more."""
        mine.close()
        async with mine.has_printed:
            mine.has_printed.notify_all()
        status = {
            "phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": None,
            "message": "Pod was active on the node longer than the specified deadline",
        }  # fmt: skip
        change = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        await self._insist("PATCH", _path(pod) + "/status", change)

    async def _finish(self, mine: _Pod, pod: Object) -> None:
        await asyncio.sleep(min(_pre_stop_s(pod), pod["metadata"].get("deletionGracePeriodSeconds", 30)))
        if outcome_of(pod) is PodOutcome.IGNORES_TERM:
            await asyncio.sleep(pod["metadata"].get("deletionGracePeriodSeconds", 30))
        mine.close()
        ask = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        await self._insist("DELETE", _path(pod), ask)

    async def _insist(self, method: str, path: str, body: Object | None = None) -> Object:
        """The API server's answer, also after it was away; {} where there is no such object, or another one by now."""
        while True:
            await self._connected.wait()
            with suppress(aiohttp.ClientError, TimeoutError):
                kind = _STRATEGIC if method == "PATCH" else "application/json"
                code, answer = await self._call(method, path, body, kind)
                if code < 300 or code in (404, 409):
                    return answer if code < 300 else {}
                _log.warning("%s %s: %s %s", method, path, code, answer.get("message"))
            await asyncio.sleep(RETRY_S)

    async def _play(self, mine: _Pod, pod: Object) -> None:
        """What a kubelet does: it starts the container, and starts it again whenever that ends, later and later."""
        outcome, image = outcome_of(pod), pod["spec"]["containers"][0]["image"]
        if outcome is PodOutcome.PULL_DENIED:
            await self._report(mine, pod, _waits("ErrImagePull", PULL_MESSAGE.format(image=image)))
            await asyncio.sleep(STEP_S)
            await self._report(mine, pod, _waits("ImagePullBackOff", f'Back-off pulling image "{image}"'))
            return
        variables = await self._variables(pod)
        last: Object = {}
        for mine.restarts in itertools.count():
            ended = asyncio.get_running_loop().create_future()
            mine.printed = []
            answers = outcome in (PodOutcome.READY, PodOutcome.IGNORES_TERM, PodOutcome.EXITS) and EXIT not in variables
            if answers:
                await self._listen(mine, pod, variables, ended)
            running = {"running": {"startedAt": _now()}}
            await self._report(mine, pod, running, is_ready=answers, last=last)
            last = await self._end(outcome, variables, ended)
            mine.close()
            async with mine.has_printed:
                mine.has_printed.notify_all()
            is_job = pod["spec"].get("restartPolicy") == "Never"
            await self._report(mine, pod, last, is_over=is_job)
            if is_job:
                return
            if mine.restarts:
                wait_s = min(BACK_OFF_S * 2 ** (mine.restarts - 1), MAX_BACK_OFF_S)
                message = f"back-off {wait_s}s restarting failed container of pod={pod['metadata']['name']}"
                await self._report(mine, pod, _waits("CrashLoopBackOff", message), last=last)
                await asyncio.sleep(wait_s)

    async def _end(self, outcome: PodOutcome, variables: Mapping[str, str], ended: asyncio.Future[int]) -> Object:
        """How the container ends, once it does."""
        if EXIT in variables:
            return _ended(int(variables[EXIT]), EXIT_LOG)
        if outcome in _ENDS:
            await asyncio.sleep(STEP_S)
            return _ended(*_ENDS[outcome])
        code = await ended
        return _ended(code)

    async def _variables(self, pod: Object) -> dict[str, str]:
        """Of the first container: from Secrets, then its own."""
        container = pod["spec"]["containers"][0]
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            if secret := source.get("secretRef"):
                namespace = pod["metadata"]["namespace"]
                path = f"/api/v1/namespaces/{namespace}/secrets/{secret['name']}"
                body = await self._insist("GET", path)
                while not body and pod["spec"].get("restartPolicy") == "Never":  # it comes after the Pod
                    await asyncio.sleep(STEP_S)
                    body = await self._insist("GET", path)
                found |= {name: base64.b64decode(value).decode() for name, value in body.get("data", {}).items()}
        return found | {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}

    async def _report(
        self,
        mine: _Pod,
        pod: Object,
        state: Object,
        *,
        is_ready: bool = False,
        last: Object | None = None,
        is_over: bool = False,
    ) -> None:
        has_started = bool(mine.restarts or last) or "waiting" not in state
        truths = {"Initialized": True, "PodScheduled": True, "ContainersReady": is_ready, "Ready": is_ready}
        uid = pod["metadata"]["uid"]
        container = {
            "ready": is_ready,
            "started": "running" in state,
            "restartCount": mine.restarts,
            "state": state,
            "lastState": last or {},
            **({"containerID": f"fake://{uid}-{mine.restarts}"} if has_started else {}),
        }
        phase = "Running" if has_started else "Pending"
        if is_over:
            phase = "Failed" if state["terminated"]["exitCode"] else "Succeeded"
        status = {
            "phase": phase,
            "podIP": mine.address,
            "podIPs": [{"ip": mine.address}],
            "hostIP": "127.0.0.1",
            "startTime": mine.started_at,
            "conditions": [
                {"type": kind, "status": str(truth), "lastTransitionTime": _now()} for kind, truth in truths.items()
            ],
            "containerStatuses": [
                {
                    **container,
                    "name": one["name"],
                    "image": one["image"],
                    "imageID": one["image"] if has_started else "",
                }
                for one in pod["spec"]["containers"]
            ],
        }
        await self._insist("PATCH", _path(pod) + "/status", {"metadata": {"uid": uid}, "status": status})

    async def _listen(self, mine: _Pod, pod: Object, variables: Mapping[str, str], ended: asyncio.Future[int]) -> None:
        """Answers every request with the Pod's name; `/exit/N` ends the container without an answer."""
        ports = {port["containerPort"] for one in pod["spec"]["containers"] for port in one.get("ports", [])}
        text = pod["metadata"]["name"].encode() + b"\n"
        whole = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    mine.requests += 1
                    path = head.split(b" ", 2)[1]
                    if path.startswith(b"/exit/"):
                        if not ended.done():
                            ended.set_result(int(path.removeprefix(b"/exit/")))
                        break
                    if path.startswith(b"/print/"):
                        await mine.print(path.removeprefix(b"/print/").decode())
                    writer.write(whole)
                    await writer.drain()
            writer.close()

        for port in ports or {int(variables.get("PORT", DEFAULT_PORT))}:
            mine.servers.append(await asyncio.start_server(answer, mine.address, port))


def _claim_addresses() -> tuple[socket.socket, int]:
    """A range that no other node of this machine has: the socket holds it. And the range's first address for a Pod."""
    for number in random.sample(_RANGES, len(_RANGES)):
        with suppress(OSError):
            return socket.create_server((f"127.{number}.0.1", _CLAIM_PORT)), int(IPv4Address(f"127.{number}.0.2"))
    raise RuntimeError(f"{len(_RANGES)} fake nodes run on this machine: there are no addresses for Pods of another one")


def _pre_stop_s(pod: Object) -> int:
    """How long the Pod's hook waits before its container is signalled. Only `sleep` is played."""
    hook = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {})
    if command := hook.get("exec", {}).get("command"):
        return int(command[1]) if command[0] == "sleep" else 0
    return int(hook.get("sleep", {}).get("seconds", 0))


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


async def _main(name: str, kubeconfig: Path) -> None:
    config = json.loads(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pair.flush()
        trust.load_cert_chain(pair.name)
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(cluster["server"], connector=connector, timeout=timeout) as api:
        await FakeNode(name, api).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2])))
