"""Formats access figures for people. Pure."""

from collections.abc import Sequence

from sealift.cli.format.text import clean
from sealift.client.context import size_text
from sealift.ctrl.v1 import stats_pb2

TREND = "TREND"
HEADER = (
    "DEPLOYMENT", "", "ENVIRONMENT", "REQ/S", "REQUESTS", "1XX", "2XX", "3XX", "4XX", "5XX", "P50", "P90", "P99", "OUT",
)  # fmt: skip
TREND_WIDTH = 24
_BARS = "▁▂▃▄▅▆▇█"


def stats_row(one: stats_pb2.DeploymentStats, *, with_trend: bool) -> tuple[str, ...]:
    """A deployment's row of the table under HEADER."""
    total = one.total
    row = (
        one.deployment_id,
        "live" if one.is_live else "",
        one.environment_slug,
        _rate(total) if total.known_s else "unknown",
        str(total.requests),
        *(_class_text(total, name) for name in ("status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_5xx")),
        *(latency_text(total, name) for name in ("p50_us", "p90_us", "p99_us")),
        size_text(total.bytes_out),
    )
    return (*row, trend([point.requests for point in one.points])) if with_trend else row


def traffic_text(found: stats_pb2.GetStatsResponse, deployment_id: str, minutes: int) -> str:
    """One line of a deployment's last minutes, e.g. "last 5 min: 12.3 req/s, 0.2% 5xx, p50 8.2 ms, p99 41 ms"."""
    total = next((one.total for one in found.deployments if one.deployment_id == deployment_id), stats_pb2.Stats())
    if not total.known_s:
        return f"last {minutes} min: unknown" + (f" ({found.notices[0]})" if found.notices else "")
    if not total.requests:
        return f"last {minutes} min: no requests"
    return f"last {minutes} min: " + ", ".join(
        [f"{_rate(total)} req/s", f"{_error_share(total)} 5xx", *_latencies(total)]
    )


def requests_text(found: stats_pb2.GetStatsResponse) -> str:
    """How many requests there were and how they went; what is unknown is said."""
    total = found.total
    if not total.known_s:
        return "requests are unknown" + (f": {clean(found.notices[0])}" if found.notices else "")
    incomplete = f"\n{clean(found.notices[0])}" if found.notices else ""
    if not total.requests:
        return f"no requests{incomplete}"
    by_app, by_ingress = total.app.status_5xx, total.ingress.status_5xx
    errors = "no errors"
    if by_app + by_ingress:
        by_whom = f"{by_app} by the app, {by_ingress} by the ingress"
        errors = f"{by_app + by_ingress} errors ({_error_share(total)}; {by_whom})"
    count = "1 request" if total.requests == 1 else f"{total.requests:,} requests"
    return ", ".join([f"{count} ({_rate(total)}/s)", errors, *_latencies(total)]) + incomplete


def latency_text(stats: stats_pb2.Stats, name: str) -> str:
    """A percentile with the two digits that its precision allows; "-" if nothing was measured."""
    if not stats.HasField(name):  # type: ignore[arg-type]  # of three fields
        return "-"
    milliseconds = getattr(stats, name) / 1000
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2g} s" if milliseconds < 100_000 else "over 100 s"
    return f"{milliseconds:.2g} ms" if milliseconds < 100 else f"{round(milliseconds, -1):.0f} ms"


def trend(values: Sequence[int]) -> str:
    """A line of bars, the last on the right; neighbours are added when there are more than fit."""
    if not values:
        return ""
    count = min(TREND_WIDTH, len(values))
    cuts = [len(values) * number // count for number in range(count + 1)]
    sums = [
        sum(values[begin:end]) / (end - begin)
        for begin, end in zip(cuts, cuts[1:], strict=False)  # noqa: RUF007
    ]
    most = max(sums)
    return "".join(" " if not one else _BARS[min(len(_BARS) - 1, int(one / most * len(_BARS)))] for one in sums)


def _rate(stats: stats_pb2.Stats) -> str:
    rate = stats.requests / stats.known_s
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


def _class_text(stats: stats_pb2.Stats, name: str) -> str:
    by_ingress: int = getattr(stats.ingress, name)
    count = getattr(stats.app, name) + by_ingress
    return f"{count} ({by_ingress} by ingress)" if by_ingress else str(count)


def _error_share(total: stats_pb2.Stats) -> str:
    """Of some requests, how many ended with 5xx, e.g. "0.2%"."""
    return f"{100 * (total.app.status_5xx + total.ingress.status_5xx) / total.requests:.2g}%"


def _latencies(total: stats_pb2.Stats) -> list[str]:
    """Median and 99th percentile; nothing if none was measured."""
    if not total.HasField("p50_us"):
        return []
    return [f"p50 {latency_text(total, 'p50_us')}", f"p99 {latency_text(total, 'p99_us')}"]
