"""What Envoy counts of requests, by deployment, and what it has counted so far.

Envoy's stats access loggers add to a counter and a histogram when a request ends, so a request costs no message; bytes
are counted by its clusters anyway. They count for as long as Envoy runs; who reads them takes differences. Names and
values are Envoy's, read from its admin socket.
"""

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkg.access import AccessFigures, Answers
from pkg.access.latency import bucket_of
from pkg.clock import Clock
from pkg.ids import is_id
from svc.krane.ingress.admin import EnvoyAdmin
from svc.krane.ingress.resources import JsonDict, typed

_PREFIX = "access"
# Counters end when nothing was counted for an hour or two (`pkg.envoy.bootstrap`); these bound what an hour may bring:
# a deployment has about five.
_MAX_COUNTERS, _MAX_HISTOGRAMS = 50_000, 5_000
_REQUESTS, _LATENCY = "requests", "latency"
# On the connections to the app, headers included.
_BYTES_IN, _BYTES_OUT = "upstream_cx_tx_bytes_total", "upstream_cx_rx_bytes_total"
_FILTER = rf"^({_PREFIX}\.|cluster\.dep_[^.]+\.({_BYTES_IN}|{_BYTES_OUT})$)"
_TIMEOUT_S = 5.0

# Below 400 an answer is the app's or belongs to no deployment. Later ones are the app's unless Envoy says why it gave
# them; when a connection ends meanwhile, it says that instead.
_BY_APP = (
    "response.code < 400 || response.code_details == 'via_upstream' || response.code_details.startsWith('downstream')"
    " || response.code_details.startsWith('upstream_reset_after')"
)
# Of a gRPC call its status, or UNKNOWN for one that gRPC does not have: the app may send any number, and each value is
# a counter of its own. -1 for other requests.
_GRPC_STATUS = (
    "'content-type' in request.headers && request.headers['content-type'].startsWith('application/grpc')"
    " ? (response.grpc_status < 0 ? 2 : response.grpc_status) : -1"
)
_ANSWER = f"%CEL(response.code / 100)%/%CEL({_BY_APP})%/%CEL({_GRPC_STATUS})%"
_HAS_LATENCY = "response.code_details == 'via_upstream'"
# Until the app's answer begins, from the begin of the request: its body's way to the ingress included.
_LATENCY_FORMAT = "%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%"

# gRPC statuses for which the caller is at fault, as HTTP's 4xx: CANCELLED, INVALID_ARGUMENT, NOT_FOUND,
# ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNAUTHENTICATED.
_CALLERS_FAULT = frozenset({"1", "3", "5", "6", "7", "8", "9", "10", "11", "16"})


def access_stats() -> list[JsonDict]:
    """The access loggers that count, for a listener."""
    name = "envoy.extensions.access_loggers.stats.v3.Config"
    deployment = {"name": "deployment", "value_format": "%UPSTREAM_CLUSTER%"}

    def stat(what: str, *tags: JsonDict) -> JsonDict:
        return {"name": what, "tags": [deployment, *tags]}

    counters = [
        {"stat": stat(_REQUESTS, {"name": "answer", "value_format": _ANSWER}), "value_fixed": 1},
    ]
    histogram = {"stat": stat(_LATENCY), "unit": "Microseconds", "value_format": _LATENCY_FORMAT}
    scope = {
        "prefix": _PREFIX,
        "sharing_name": _PREFIX,
        "enable_eviction": True,
        "max_counters": _MAX_COUNTERS,
        "max_histograms": _MAX_HISTOGRAMS,
    }
    # Envoy logs an error for each value that is none.
    measured = typed("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=_HAS_LATENCY)
    is_measured = {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": measured}
    return [
        {
            "name": "envoy.access_loggers.stats",
            "typed_config": typed(name, stats_scope=scope, counters=counters),
        },
        {
            "name": "envoy.access_loggers.stats",
            "filter": {"extension_filter": is_measured},
            "typed_config": typed(name, stats_scope=scope, histograms=[histogram]),
        },
    ]


@dataclass(frozen=True)
class Reading:
    """What an Envoy has counted since its start.

    Attributes:
        started_at: when it started, epoch milliseconds by the clock of then, to the second.
        at: when it was read, epoch milliseconds.
        figures: by deployment; "" for requests that none got.
    """

    started_at: int
    at: int
    figures: Mapping[str, AccessFigures]


class AccessStats:
    """Reads an Envoy by its admin socket.

    Args:
        admin_socket: of the Envoy.
        clock: for the time of a reading.
        executor: reads what Envoy answers, which is megabytes with many deployments; None: the loop's own.
    """

    def __init__(self, admin_socket: Path, clock: Clock, executor: Executor | None = None) -> None:
        self._socket = admin_socket
        self._clock = clock
        self._executor = executor

    async def read(self) -> Reading:
        """The figures now; up to 5 s old.

        Raises:
            OSError, ValueError: Envoy does not answer.
        """
        async with EnvoyAdmin(self._socket, _TIMEOUT_S) as admin:
            info = json.loads(await admin.get("/server_info"))
            parameters = {"format": "json", "histogram_buckets": "detailed", "filter": _FILTER}
            stats = await admin.get("/stats", parameters)
        at = self._clock()
        uptime_s = int(info["uptime_current_epoch"].removesuffix("s"))
        loop = asyncio.get_running_loop()
        figures = await loop.run_in_executor(self._executor, lambda: figures_of(json.loads(stats)))
        return Reading(at - uptime_s * 1000, at, figures)


def figures_of(stats: Mapping[str, Any]) -> dict[str, AccessFigures]:
    """The figures in Envoy's JSON form of its stats. Pure."""
    counted: dict[str, _Counted] = {}

    def of(cluster: str) -> _Counted:
        deployment_id = cluster if is_id("dep", cluster) else ""
        return counted.setdefault(deployment_id, _Counted(has_app=deployment_id != ""))

    for one in stats.get("stats", []):
        if "histograms" in one:
            for histogram in one["histograms"].get("details", []):
                if (found := _named(histogram["name"])) and found[0] == _LATENCY:
                    of(found[1]).measured(histogram["totals"])
        elif (found := _named(one["name"])) and one["value"]:
            of(found[1]).count(found[0], found[2], one["value"])
    return {deployment_id: one.figures() for deployment_id, one in counted.items()}


def _named(name: str) -> tuple[str, str, str] | None:
    """What is counted, of which cluster and answers: "access.requests.deployment.dep_x.answer.2/true/" is one name."""
    if name.startswith("cluster."):
        _, cluster, what = name.split(".", 2)
        return what, cluster, ""
    parts = name.split(".", 3)
    if len(parts) < 4:
        return None
    cluster, _, answer = parts[3].partition(".answer.")
    return parts[1], cluster, answer


class _Counted:
    def __init__(self, *, has_app: bool) -> None:
        self._has_app = has_app
        self._app, self._ingress = [0] * 5, [0] * 5
        self._others = {"unanswered": 0, _BYTES_IN: 0, _BYTES_OUT: 0}
        self._latencies: dict[int, int] = {}

    def count(self, what: str, answer: str, value: int) -> None:
        if what != _REQUESTS:
            if what in self._others:
                self._others[what] += value
            return
        status_class, is_app, grpc_status = (*answer.split("/"), "", "", "")[:3]
        if status_class not in {"1", "2", "3", "4", "5"}:
            self._others["unanswered"] += value
            return
        answers = self._ingress if is_app == "false" or not self._has_app else self._app
        answers[_class(int(status_class), grpc_status) - 1] += value

    def measured(self, totals: list[Mapping[str, float]]) -> None:
        for one in totals:
            bucket = bucket_of(one["lower_bound"] + one["width"] / 2)
            self._latencies[bucket] = self._latencies.get(bucket, 0) + int(one["count"])

    def figures(self) -> AccessFigures:
        others = (self._others["unanswered"], self._others[_BYTES_IN], self._others[_BYTES_OUT])
        return AccessFigures(Answers(*self._app), Answers(*self._ingress), *others, self._latencies)


def _class(status_class: int, grpc_status: str) -> int:
    """The class that an answer counts for; gRPC answers have the status 200, whatever came of the call."""
    if status_class != 2 or not grpc_status.isdecimal() or grpc_status == "0":
        return status_class
    return 4 if grpc_status in _CALLERS_FAULT else 5
