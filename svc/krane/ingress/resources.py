"""What krane sends to Envoy, as resources in Envoy's JSON form: clusters, endpoints, routes. Pure.

The listener is in `listener.py`.
"""

from collections.abc import Sequence
from typing import Any

from pkg.desired.protocol import AppProtocol
from pkg.desired.route import AnswerTarget, DeploymentTarget, Route
from svc.krane.ingress.hostnames import spellings
from svc.krane.ingress.messages import TYPE_PREFIX
from svc.krane.ingress.port import Endpoint

JsonDict = dict[str, Any]

ROUTE_TABLE = "sealift"
DEPLOYMENT_HEADER = "x-sealift-deployment"

CONNECT_TIMEOUT_S = 1
RETRIES = 2
# Both ways. Envoy's own bound is 100, which ordinary answers pass (a cookie each, a link each).
MAX_HEADERS = 1000
MAX_RESPONSE_HEADERS_KIB = 256
# Shorter than the keep-alive of common app servers (gunicorn 2 s, uvicorn and Node 5 s): Envoy drops an idle
# connection before the app does, so a request does not race with the app's close.
UPSTREAM_IDLE_S = "1.5s"
# Of one deployment at one time, instances together: as many as Envoy takes client connections (pkg.envoy.bootstrap), so
# that this is never what ends an app of many open streams.
MAX_REQUESTS = 20_000

# A machine that is gone sends no reset; streams that only receive would wait for ever.
KEEPALIVE = {"keepalive_time": 60, "keepalive_interval": 10, "keepalive_probes": 3}
# Of HTTP/2 to an app: what Envoy keeps of a stream, and of a connection, until the client takes it.
STREAM_WINDOW_BYTES = 256 * 1024
CONNECTION_WINDOW_BYTES = 1024 * 1024

METADATA = "sealift"  # under which a cluster says what its app speaks

# Marks the answer of a stopped app on its way to `replies`, which makes a 503 of it. Nothing else has this status.
STOPPED_STATUS = 599

# The port that the client connected to, as it sees it: not that of the listener, which a proxy or NAT may hide.
_PORT = "'^[^,]+:([0-9]+)'"
_CLIENTS_HOST = "('x-forwarded-host' in request.headers ? request.headers['x-forwarded-host'] : request.host)"
_FORWARDED_PORT = (
    f"{_CLIENTS_HOST}.matches({_PORT}) ? re.extract({_CLIENTS_HOST}, {_PORT}, '\\\\1')"
    " : request.headers['x-forwarded-proto'].matches('(?i)^(https|wss)') ? '443' : '80'"
)

# Where requests share kept connections to the app: a route that a runtime key of the deployment turns on.
SHARE_KEY = "sealift.share."
_SHARED = "shared"
API_ROUTE = "api"  # the routes to the api, which says when it closes a connection
# Which requests get a connection to the app that no other used: all until the app was seen to close its connections
# well (`sharing`), and always those that must not be sent twice, and those with a body. An app may be closing a kept
# connection at the very moment, and then nobody knows whether it saw the request. In HTTP/2 it says which it has seen.
_IS_HARMLESS = (
    "request.method in ['GET', 'HEAD', 'OPTIONS'] && !('upgrade' in request.headers)"
    " && !('content-length' in request.headers) && !('transfer-encoding' in request.headers)"
)
_IS_H2C = f"xds.cluster_metadata.filter_metadata['{METADATA}']['protocol'] == '{AppProtocol.H2C}'"
OWN_CONNECTION = (
    f"(xds.route_name != '{API_ROUTE}' && !({_IS_H2C}) && !(xds.route_name == '{_SHARED}' && {_IS_HARMLESS}))"
)
_CLOSE = f"{OWN_CONNECTION} && !('upgrade' in request.headers) ? 'close' : ''"

# No timeout: krane never leaves a subscription unanswered, and Envoy must rather wait than continue with nothing.
ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}


def typed(name: str, **fields: Any) -> JsonDict:
    """A message inside an Any, by its full protobuf name."""
    return {"@type": TYPE_PREFIX + name, **fields}


def preserve_case() -> JsonDict:
    """Header names keep their case, and status lines their reason: some programs look at them."""
    name = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
    formatter = {"name": "preserve_case", "typed_config": typed(name, forward_reason_phrase=True)}
    return {"stateful_formatter": formatter}


def cluster(deployment_id: str, protocol: AppProtocol = AppProtocol.HTTP1) -> JsonDict:
    """One EDS cluster per deployment. Its text never changes for one, so Envoy never has to warm it twice."""
    http_options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), MAX_REQUESTS)
    return {
        "name": deployment_id,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": ADS},
        "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        # Not LEAST_REQUEST: an instance that has just died has the fewest requests and would draw them all.
        "lb_policy": "ROUND_ROBIN",
        # krane's probes are the only health truth: without a healthy endpoint there is no answer but 503.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {"thresholds": [{**limits, "max_retries": 256}]},
        "metadata": {"filter_metadata": {METADATA: {"protocol": protocol}}},
        "upstream_connection_options": {"tcp_keepalive": KEEPALIVE},
        "typed_extension_protocol_options": {
            http_options: typed(
                http_options,
                explicit_http_config=_spoken(protocol),
                common_http_protocol_options={
                    "idle_timeout": UPSTREAM_IDLE_S,
                    "max_headers_count": MAX_HEADERS,
                    "max_response_headers_kb": MAX_RESPONSE_HEADERS_KIB,
                },
                retry_policy=_retry_policy(),
            )
        },
    }


def _spoken(protocol: AppProtocol) -> JsonDict:
    if protocol is AppProtocol.HTTP1:
        return {"http_protocol_options": {"enable_trailers": True, "header_key_format": preserve_case()}}
    windows = {
        "initial_stream_window_size": STREAM_WINDOW_BYTES,
        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
    }
    # No pings: gRPC's servers end a connection that sends more than one in 5 minutes.
    return {"http2_protocol_options": windows}


def assignment(deployment_id: str, endpoints: Sequence[Endpoint]) -> JsonDict:
    """A deployment's endpoints with krane's verdict on each."""
    return {
        "cluster_name": deployment_id,
        "endpoints": [
            {
                "lb_endpoints": [
                    {
                        "endpoint": {"address": socket_address(e.address, e.port)},
                        "health_status": "HEALTHY" if e.healthy else "UNHEALTHY",
                    }
                    for e in endpoints
                ]
            }
        ],
    }


def socket_address(address: str, port: int) -> JsonDict:
    """An IP address and a TCP port."""
    return {"socket_address": {"address": address, "port_value": port}}


def route_table(hsts_max_age_s: int = 0) -> JsonDict:
    """The route table without its hosts. What all hosts share stands here, once: Envoy reads it at each change."""
    policy = f"%CEL(request.headers['x-forwarded-proto'] == 'https' ? 'max-age={hsts_max_age_s}' : '')%"
    hsts = [_header("strict-transport-security", policy, "ADD_IF_ABSENT")] if hsts_max_age_s else []
    return {
        "name": ROUTE_TABLE,
        "ignore_port_in_host_matching": True,
        "most_specific_header_mutations_wins": True,
        "response_headers_to_add": [
            *hsts,
            _header(DEPLOYMENT_HEADER, "%UPSTREAM_CLUSTER%"),
            _header("x-request-id", "%REQ(X-REQUEST-ID)%", "ADD_IF_ABSENT"),
        ],
        # The listener took away what the peer may not say.
        "request_headers_to_add": [
            _header("x-forwarded-for", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "APPEND_IF_EXISTS_OR_ADD"),
            _header("x-forwarded-host", "%REQ(:AUTHORITY)%", "ADD_IF_ABSENT"),
            _header("connection", f"%CEL({_CLOSE})%", "ADD_IF_ABSENT"),
            _header("x-forwarded-port", f"%CEL({_FORWARDED_PORT})%", "ADD_IF_ABSENT"),
        ],
        "request_headers_to_remove": ["x-envoy-external-address"],  # x-forwarded-for says it already
    }


def _header(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> JsonDict:
    return {"header": {"key": name, "value": value}, "append_action": action}


def virtual_host_template() -> JsonDict:
    """A virtual host with its names and cluster left empty; `fill_virtual_host` fills them in.

    Its answers may stream for ever (no timeout); silence ends them, after the listener's `STREAM_IDLE_S`.
    """
    off = {"default_value": {"numerator": 0}, "runtime_key": ""}
    route = {"cluster": "", "timeout": "0s"}
    return {
        "name": "",
        "domains": [],
        "routes": [
            {"name": _SHARED, "match": {"prefix": "/", "runtime_fraction": off}, "route": route},
            {"match": {"prefix": "/"}, "route": route},
        ],
    }


def fill_virtual_host(host: Any, route: Route) -> None:
    """Fills in a message made from `virtual_host_template`.

    Requests that are shared out between deployments never share connections: one key turns that on for one deployment.
    A route that is an answer leads to none.
    """
    host.name = route.hostname
    host.domains[:] = spellings(route.hostname)
    if deployment_id := route.only_deployment_id:
        host.routes[0].match.runtime_fraction.runtime_key = SHARE_KEY + deployment_id
        for one in host.routes:
            one.route.cluster = deployment_id
        return
    del host.routes[0]
    if isinstance(route.targets[0], AnswerTarget):
        host.routes[0].direct_response.status = STOPPED_STATUS
        return
    for target in route.targets:
        if isinstance(target, DeploymentTarget):
            weighted = host.routes[0].route.weighted_clusters.clusters.add(name=target.deployment_id)
            weighted.weight.value = target.weight


def _retry_policy() -> JsonDict:
    previous_hosts = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    return {
        "retry_on": "connect-failure,refused-stream,reset-before-request",
        "num_retries": RETRIES,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.100s"},
        "retry_host_predicate": [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": typed(previous_hosts)}
        ],
        "host_selection_retry_max_attempts": 5,
    }
