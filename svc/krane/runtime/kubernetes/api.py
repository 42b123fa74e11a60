"""The cluster's API server: its address and login as lightkube reads them, and the calls that krane makes.

lightkube's own calls have no preconditions for a deletion and no bookmarks for a watch, and a watch that the server
ends at once would spin; so the requests are made here, on the HTTP client that lightkube makes.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2
import msgspec
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError as LoginError
from lightkube.core.resource import Resource, api_info

from pkg.config import ConfigError
from pkg.errors import Unavailable
from svc.krane.runtime.kubernetes import wire
from svc.krane.runtime.kubernetes.identity import FIELD_MANAGER

TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
CHECK_TIMEOUT_S = 5.0
CALLS = 24  # at the same time; a server that is asked for more answers 429 before long
PAGE = 500  # objects of a list's answer
MAX_OUTPUT_BYTES = 256 * 1024
UNAVAILABLE = "kubernetes.unavailable"
SLEEP_HOOK_SINCE = (1, 30)  # version of Kubernetes
IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")

W = TypeVar("W")


class ApiError(Exception):
    """The server refused a call.

    Attributes:
        code: HTTP status.
        reason: the server's word for it, e.g. "AlreadyExists"; "" if it gave none.
        message: the server's.
    """

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


class Login(Protocol):
    """How to reach a cluster; `svc.krane.config.Kubernetes` is one."""

    @property
    def kubeconfig(self) -> str:
        """Path of a kubeconfig; "" inside the cluster."""
        ...

    @property
    def context(self) -> str:
        """Of the kubeconfig; "" for its current one."""
        ...


@dataclass(frozen=True)
class ServerVersions:
    """What the server has.

    Attributes:
        description: e.g. "Kubernetes v1.34.1, linux/amd64".
        disruption_budgets: newest version of policy that krane can write; "" for none.
        autoscalers: of autoscaling; "" for none.
        has_metrics: the resource metrics that autoscalers read.
        has_sleep_hook: a Pod can wait before it stops by itself, without a program of its image.
    """

    description: str
    disruption_budgets: str = ""
    autoscalers: str = ""
    has_metrics: bool = False
    has_sleep_hook: bool = False


def login(settings: Login) -> SingleConfig:
    """The address and the credentials. Raises ConfigError."""
    try:
        if not settings.kubeconfig:
            return _found(KubeConfig.from_service_account(IN_CLUSTER).get())
        return _found(KubeConfig.from_file(settings.kubeconfig).get(settings.context or None))
    except Exception as error:  # whatever a parser finds wrong with the file
        where = settings.kubeconfig or f"{IN_CLUSTER} (set [kubernetes] kubeconfig outside of a cluster)"
        problem = f"kubernetes: no login to a cluster in {where}: {error}"
        raise ConfigError("config.invalid", problem, problems=[problem]) from error


def own_namespace() -> str:
    """Of krane's own Pod; "" outside of a cluster."""
    try:
        return (IN_CLUSTER / "namespace").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _found(config: SingleConfig | None) -> SingleConfig:
    if config is None:
        raise ValueError("it has no current context")
    return config


class KubeApi:
    """One API server. Must be made inside a running loop, and closed.

    Every method raises Unavailable when the server is away, busy or slow, and ApiError when it refuses; each call is
    made once. Objects are read as the wire type that is asked for.
    """

    def __init__(self, config: SingleConfig) -> None:
        timeout = httpx2.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        parameters = client_adapter.ConnectionParams(timeout=timeout)
        self._http = client_adapter.AsyncClient(config, parameters)
        # Each follower of a log holds a connection: they are as many as there are instances.
        self._logs = httpx2.AsyncClient(**parameters.httpx_params(config), limits=httpx2.Limits())
        self._slots = asyncio.Semaphore(CALLS)
        self._sending: set[asyncio.Task[httpx2.Response]] = set()

    async def close(self) -> None:
        """Ends its connections. Idempotent."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=CONNECT_TIMEOUT_S)
        await self._http.aclose()
        await self._logs.aclose()

    async def versions(self) -> ServerVersions:
        """What the server has."""
        version = json.loads((await self._call("GET", "/version")).content)
        groups = json.loads((await self._call("GET", "/apis")).content)["groups"]
        known = {group["name"]: {one["version"] for one in group["versions"]} for group in groups}

        def newest(group: str, wanted: Sequence[str]) -> str:
            return next((one for one in wanted if one in known.get(group, ())), "")

        return ServerVersions(
            f"Kubernetes {version['gitVersion']}, {version.get('platform', 'unknown platform')}",
            newest("policy", ("v1", "v1beta1")),
            newest("autoscaling", ("v2", "v2beta2")),
            has_metrics="metrics.k8s.io" in known,
            has_sleep_hook=_number(version) >= SLEEP_HOOK_SINCE,
        )

    async def why_away(self) -> str:
        """Why the server gives no answer within some seconds; "" if it gives one. Raises nothing."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self._request("GET", "/version")
        except TimeoutError:
            return f"no answer within {CHECK_TIMEOUT_S:.0f} s"
        except Unavailable as error:
            return error.message
        except ApiError as error:
            return f"the API server answered {error}"
        return ""

    async def get(self, kind: type[Resource], name: str, namespace: str, as_: type[W]) -> W | None:
        """The object; None when there is none."""
        try:
            response = await self._call("GET", _path(kind, namespace, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return _decoded(response.content, as_)

    async def read(self, path: str, as_: type[W], params: Mapping[str, str] | None = None) -> W:
        """What is no object, e.g. what a node says of its Pods."""
        return _decoded((await self._call("GET", path, params=params)).content, as_)

    async def apply(self, obj: Resource, as_: type[W], *, uid: str = "") -> W:
        """Server-side apply of what krane says about the object; fields of others stay. The object as it is then.

        Args:
            obj: complete: a field that an earlier apply had and this one has not is removed.
            as_: wire type of the answer.
            uid: of the object that is meant; another one of the name is refused with 409. "": there is none yet.
        """
        data = as_data(obj)
        if uid:
            data["metadata"]["uid"] = uid
        metadata = data["metadata"]
        response = await self._call(
            "PATCH",
            _path(type(obj), metadata.get("namespace", ""), metadata["name"]),
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
            content_type="application/apply-patch+yaml",
            body=data,
        )
        return _decoded(response.content, as_)

    async def create(self, obj: Resource) -> None:
        """Creates an object; 409 when there is one of the name."""
        data = as_data(obj)
        path = _path(type(obj), data["metadata"].get("namespace", ""))
        await self._call("POST", path, params={"fieldManager": FIELD_MANAGER}, body=data)

    async def patch(
        self, kind: type[Resource], name: str, namespace: str, change: Mapping[str, Any], as_: type[W], part: str = ""
    ) -> W | None:
        """Strategic merge patch, of the object or of its subresource `part`; None when there is no such object.

        `metadata.uid` or `metadata.resourceVersion` in the change are preconditions: 409 when they differ.
        """
        try:
            response = await self._call(
                "PATCH",
                _path(kind, namespace, name, part),
                params={"fieldManager": FIELD_MANAGER},
                content_type="application/strategic-merge-patch+json",
                body=change,
            )
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return _decoded(response.content, as_)

    async def delete(
        self, kind: type[Resource], name: str, namespace: str, *, uid: str, grace_s: int | None = None
    ) -> bool:
        """Deletes exactly this object, and in the background what it owns. False: it is gone, or is another one."""
        options: dict[str, Any] = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            await self._call("DELETE", _path(kind, namespace, name), body=options)
        except ApiError as error:
            if error.code in (404, 409):
                return False
            raise
        return True

    async def list_page(
        self, kind: type[Resource], params: Mapping[str, str], namespace: str = ""
    ) -> tuple[Sequence[msgspec.Raw], str, str]:
        """A page of a list: the objects, the list's version, and how to go on ("" at the end)."""
        response = await self._call("GET", _path(kind, namespace), params={"limit": str(PAGE), **params})
        page = _decoded(response.content, wire.Page)
        return page.items or (), page.metadata.resource_version, page.metadata.continue_

    @asynccontextmanager
    async def watch(self, kind: type[Resource], params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of a watch, until the server ends it."""
        request = self._http.build_request(
            "GET",
            _path(kind, ""),
            params={"watch": "true", "allowWatchBookmarks": "true", **params},
            timeout=httpx2.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S, read=None),
        )
        try:
            response = await self._send(request, stream=True)
        except (httpx2.HTTPError, OSError) as error:
            raise _away(error) from error
        try:
            if response.is_error:
                await response.aread()
                raise _refusal(response)
            yield response.aiter_lines()
        except httpx2.HTTPError as error:
            raise _away(error) from error
        finally:
            await response.aclose()

    async def output(self, pod: str, namespace: str, container: str, lines: int, *, is_previous: bool) -> str:
        """The last of what a container printed; "" when there is none."""
        params = {"container": container, "tailLines": str(lines), "limitBytes": str(MAX_OUTPUT_BYTES)}
        if is_previous:
            params["previous"] = "true"
        try:
            response = await self._call("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", params=params)
        except ApiError as error:
            if error.code in (400, 404):  # it was never started, or is gone
                return ""
            raise
        return response.content.decode("utf-8", "backslashreplace")

    async def logs(
        self, pod: str, namespace: str, container: str, since: str, *, is_previous: bool
    ) -> AsyncGenerator[bytes]:
        """What a container printed since then (RFC 3339), each line with its time; of the present one also what comes.

        Nothing when there is no such container.
        """
        params = {"container": container, "timestamps": "true", "previous" if is_previous else "follow": "true"}
        if since:
            params["sinceTime"] = since
        timeout = httpx2.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S, read=None)
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        try:
            async with self._logs.stream("GET", path, params=params, timeout=timeout) as response:
                if response.is_error:
                    await response.aread()
                    if response.status_code in (400, 404):  # it was never started, or is gone
                        return
                    raise _refusal(response)
                async for chunk in response.aiter_raw():
                    yield chunk
        except (httpx2.HTTPError, OSError) as error:
            raise _away(error) from error

    async def _send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        """One request. Who is cancelled leaves it to its end: a connection that is being made would not be closed."""
        sending = asyncio.create_task(self._http.send(request, stream=stream))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            sending.add_done_callback(_abandoned)
            raise

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> httpx2.Response:
        async with self._slots:
            return await self._request(method, path, params=params, body=body, content_type=content_type)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> httpx2.Response:
        try:
            request = self._http.build_request(
                method,
                path,
                params=dict(params or {}),
                content=None if body is None else msgspec.json.encode(body),
                headers=None if body is None else {"Content-Type": content_type},
            )
            response = await self._send(request)
        except (httpx2.HTTPError, OSError) as error:
            raise _away(error) from error
        except LoginError as error:  # a login that can't be renewed
            raise Unavailable(UNAVAILABLE, f"the login to the cluster failed: {error}") from error
        if response.is_error:
            raise _refusal(response)
        return response


def _abandoned(sending: asyncio.Task[httpx2.Response]) -> None:
    if not sending.cancelled() and sending.exception() is None:
        asyncio.get_running_loop().create_task(sending.result().aclose())


def as_data(obj: Resource) -> dict[str, Any]:
    """An object as plain data."""
    data: dict[str, Any] = obj.to_dict()  # type: ignore[attr-defined]
    return data


def _number(version: Mapping[str, str]) -> tuple[int, int]:
    """Of a server's version, e.g. (1, 20); clusters of some vendors call their minor version "20+"."""
    numbers = [re.match("[0-9]*", version.get(part, "")) for part in ("major", "minor")]
    major, minor = (int(found[0]) if found and found[0] else 0 for found in numbers)
    return major, minor


def _path(kind: type[Resource], namespace: str, name: str = "", part: str = "") -> str:
    info = api_info(kind)
    group, version = info.resource.group, info.resource.version
    parts = ["", "apis", group, version] if group else ["", "api", version]
    if namespace:
        parts += ["namespaces", namespace]
    parts += [info.plural, *([name] if name else []), *([part] if part else [])]
    return "/".join(parts)


def _decoded(content: bytes, as_: type[W]) -> W:
    try:
        return msgspec.json.decode(content, type=as_)
    except msgspec.MsgspecError as error:
        raise Unavailable(UNAVAILABLE, f"the API server's answer can't be read: {error}") from error


def _refusal(response: httpx2.Response) -> Exception:
    """Unavailable for a server that is busy, starting or broken, ApiError for a refusal."""
    try:
        status = msgspec.json.decode(response.content, type=wire.Status)
    except msgspec.MsgspecError:
        status = wire.Status(message=response.text[:300])
    error = ApiError(response.status_code, status.reason, status.message)
    is_final = is_schema_error(error) or is_unknown_version(error)
    if response.status_code == 429 or (response.status_code >= 500 and not is_final):
        return Unavailable(UNAVAILABLE, f"the API server is busy or not ready ({error})")
    if response.status_code == 401:
        return Unavailable(UNAVAILABLE, f"the API server does not accept krane's login ({error})")
    return error


def is_schema_error(error: ApiError) -> bool:
    """Whether an apply was refused for what the object says: the server answers 500, and will again."""
    said = error.message.lower()
    return "failed to create typed patch object" in said or "failed to convert new object" in said


def is_unknown_version(error: ApiError) -> bool:
    """Whether a watch was to begin at a version that is yet to come: the server was restored from a backup."""
    return "too large resource version" in error.message.lower()


def _away(error: Exception) -> Unavailable:
    return Unavailable(UNAVAILABLE, f"the API server does not answer: {type(error).__name__}: {error}".rstrip(": "))
