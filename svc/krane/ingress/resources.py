"""What krane tells Envoy, as resources in Envoy's JSON form: clusters, endpoints, the listener. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svc.krane.ingress.hostnames import address_problem
from svc.krane.ingress.messages import TYPE_PREFIX
from svc.krane.ingress.port import Endpoint

JsonDict = dict[str, Any]

ROUTE_TABLE = "sealift"
LISTENER_NAME = "http"
DEPLOYMENT_HEADER = "x-sealift-deployment"

CONNECT_TIMEOUT_S = 1
RETRIES = 2
# Idle streams end: an hour suits websockets and event streams that send nothing for long.
STREAM_IDLE_S = 3600
REQUEST_HEADERS_TIMEOUT_S = 30
MAX_REQUEST_HEADERS_KB = 64
# Shorter than the keep-alive of common app servers (gunicorn 2 s, uvicorn and Node 5 s): Envoy drops an idle
# connection before the app does, so a POST does not race with the app's close.
UPSTREAM_IDLE_S = "1.5s"

# No timeout: krane never leaves a subscription unanswered, and Envoy must rather wait than go on with nothing.
_ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}

_NO_APP = (
    "404: no app is served at %REQ(:AUTHORITY)%\n\n"
    "No deployment answers under this name: it is misspelt, or its deployment was stopped or never became ready.\n"
    "`sealift ls` lists the deployments of a project, `sealift status DEPLOYMENT` the addresses of one.\n"
)
# The route adds the header before the text is made: the one command that helps can be copied.
_STATUS = "`sealift status %RESP(X-SEALIFT-DEPLOYMENT)%` shows its instances and what is wrong with them.\n"
_NO_INSTANCE = (
    "503: %REQ(:AUTHORITY)% has no healthy instance right now\n\n"
    "The name is right, but no instance of its deployment passes the health check: it is starting, or it has failed.\n"
    f"Requests are answered again as soon as one does. {_STATUS}"
)
_NO_ANSWER = (
    "503: the instance behind %REQ(:AUTHORITY)% did not answer\n\n"
    "It refused or closed the connection before it sent a response (%RESPONSE_FLAGS%); it may have just crashed.\n"
    f"Try again in a moment. {_STATUS}"
)


@dataclass(frozen=True)
class ListenerSpec:
    """The HTTP listener.

    Attributes:
        host: IP address to bind.
        port: TCP port to bind.
        access_log: File for one JSON object per request; None writes none.
    """

    host: str
    port: int
    access_log: Path | None = None

    @classmethod
    def parse(cls, listen: str, access_log: Path | None = None) -> "ListenerSpec":
        """From "host:port"; the host is an IP address, a v6 one in brackets.

        Raises:
            ValueError: It is something else.
        """
        host, _, port = listen.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not port.isdecimal() or address_problem(host, int(port)):
            raise ValueError(f"{listen!r} is not an IP address and a port, such as 127.0.0.1:7480")
        return cls(host, int(port), access_log)


def typed(name: str, **fields: Any) -> JsonDict:
    """A message inside an Any, by its full protobuf name."""
    return {"@type": TYPE_PREFIX + name, **fields}


def cluster(deployment_id: str) -> JsonDict:
    """One EDS cluster per deployment. Its text depends on the id only, so Envoy never has to warm it twice."""
    http_options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    limits = {"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 8192, "max_retries": 256}
    return {
        "name": deployment_id,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": _ADS},
        "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        # Not LEAST_REQUEST: an instance that has just died has the fewest requests and would draw them all.
        "lb_policy": "ROUND_ROBIN",
        # krane's probes are the only health truth: without a healthy endpoint there is no answer but 503.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {
            http_options: typed(
                http_options,
                explicit_http_config={"http_protocol_options": {}},
                common_http_protocol_options={"idle_timeout": UPSTREAM_IDLE_S},
                retry_policy=_retry_policy(),
            )
        },
    }


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


def route_table() -> JsonDict:
    """The route table without its hosts. What all hosts share stands here, once: Envoy reads it anew at each change."""
    return {
        "name": ROUTE_TABLE,
        "response_headers_to_add": [_header(DEPLOYMENT_HEADER, "%UPSTREAM_CLUSTER%")],
        # A GET may be asked again even if the instance went away after it had been sent; any other request only if
        # it never left (the cluster's own policy).
        "request_headers_to_add": [
            _header("x-envoy-retry-on", "%CEL(request.method == 'GET' ? 'reset' : 'connect-failure')%")
        ],
        "request_headers_to_remove": ["x-envoy-external-address"],  # x-forwarded-for says it already
    }


def _header(name: str, value: str) -> JsonDict:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def virtual_host_template() -> JsonDict:
    """A virtual host with its names and cluster left empty; `table.RouteTable` fills them in.

    Its answers may stream for ever (no timeout); silence ends them, after the listener's `STREAM_IDLE_S`.
    """
    return {
        "name": "",
        "domains": [""],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "", "timeout": "0s"}}],
    }


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


def listener(spec: ListenerSpec) -> JsonDict:
    """The HTTP listener; its routes come over RDS."""
    return {
        "name": LISTENER_NAME,
        "address": socket_address(spec.host, spec.port),
        # With SO_REUSEPORT a second Envoy would silently take a share of the connections; without, it is refused.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 256 * 1024,
        "filter_chains": [{"filters": [_connection_manager(spec)]}],
    }


def _connection_manager(spec: ListenerSpec) -> JsonDict:
    router = typed("envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": typed(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix="ingress",
            codec_type="AUTO",
            rds={"route_config_name": ROUTE_TABLE, "config_source": _ADS},
            http_filters=[{"name": "envoy.filters.http.router", "typed_config": router}],
            upgrade_configs=[{"upgrade_type": "websocket"}],
            # The edge: the peer's address is the client's, and nobody's x-envoy-* headers are obeyed.
            use_remote_address=True,
            # (An empty list would mean loopback and the private networks; this one matches nobody.)
            internal_address_config={"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
            always_set_request_id_in_response=True,
            server_header_transformation="PASS_THROUGH",
            strip_any_host_port=True,
            strip_trailing_host_dot=True,
            max_request_headers_kb=MAX_REQUEST_HEADERS_KB,
            request_headers_timeout=f"{REQUEST_HEADERS_TIMEOUT_S}s",
            stream_idle_timeout=f"{STREAM_IDLE_S}s",
            common_http_protocol_options={"idle_timeout": f"{STREAM_IDLE_S}s", "max_headers_count": 200},
            local_reply_config={
                "mappers": [
                    _reply(["NR"], _NO_APP),
                    _reply(["UH", "NC"], _NO_INSTANCE, retry_after_s=1),
                    _reply(["UF", "UC"], _NO_ANSWER, retry_after_s=1),
                ]
            },
            access_log=_access_logs(spec.access_log),
        ),
    }


def _reply(flags: list[str], text: str, retry_after_s: int = 0) -> JsonDict:
    headers = [{"header": {"key": "retry-after", "value": str(retry_after_s)}}] if retry_after_s else []
    return {
        "filter": {"response_flag_filter": {"flags": flags}},
        "body_format_override": {
            "text_format_source": {"inline_string": text},
            "content_type": "text/plain; charset=utf-8",
        },
        "headers_to_add": headers,
    }


def _access_logs(path: Path | None) -> list[JsonDict]:
    if path is None:
        return []
    fields = {
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "hostname": "%REQ(:AUTHORITY)%",
        "path": "%REQ(:PATH)%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "duration_ms": "%DURATION%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "deployment_id": "%UPSTREAM_CLUSTER%",
        "upstream": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    log = typed(
        "envoy.extensions.access_loggers.file.v3.FileAccessLog", path=str(path), log_format={"json_format": fields}
    )
    return [{"name": "envoy.access_loggers.file", "typed_config": log}]
