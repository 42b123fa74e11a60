"""The listeners: what of a request and an answer passes as it is, and whom forwarding headers are believed. Pure.

Peers on the operator's list of trusted proxies come in by a filter chain that keeps what they say of the client; all
others by one that takes it away first. What is then missing is filled in by the route table, for both alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from svc.krane.ingress.access_stats import access_stats
from svc.krane.ingress.api_host import ApiSpec
from svc.krane.ingress.replies import local_reply_config
from svc.krane.ingress.resources import (
    ADS,
    MAX_HEADERS,
    OWN_CONNECTION,
    ROUTE_TABLE,
    JsonDict,
    preserve_case,
    socket_address,
    typed,
)
from svc.krane.ingress.tls import (
    HANDSHAKE_TIMEOUT_S,
    HELLO_TIMEOUT_S,
    TlsSpec,
    chain_matcher,
    hello_reader,
    transport_socket,
)
from svc.krane.ingress.tls import LISTENER_NAME as TLS_LISTENER_NAME

LISTENER_NAME = "http"
_OTHERS, _TRUSTED = "others", "trusted"

# Idle streams end: an hour suits websockets and event streams that send nothing for long.
STREAM_IDLE_S = 3600
REQUEST_HEADERS_TIMEOUT_S = 30
MAX_REQUEST_HEADERS_KIB = 64
MAX_LOGGED_CHARS = 2048

# HTTP/2: what one connection may have under way, and what of it Envoy keeps until the other side takes it. Envoy's own
# bounds hold for frames that cost the sender little: resets, settings, pings, empty and continuation frames.
MAX_STREAMS = 100
STREAM_WINDOW_BYTES = 256 * 1024
CONNECTION_WINDOW_BYTES = 1024 * 1024

# A name or a v4 address, or a v6 one in brackets; and a port, which may be empty.
_AUTHORITY = r"(\[[^\]]*\]|[^:]*)(:[0-9]{0,5})?"

# What says who the client is and how it came; a "-" at the end stands for all names that begin so.
_FORWARDING = ("x-forwarded-", "forwarded", "x-real-ip", "x-envoy-")
# CGI, WSGI and Rack read X_Forwarded_Proto as X-Forwarded-Proto: spelt so, it passes a proxy that replaces the other.
_LOOKALIKES = ("x_forwarded", "x-forwarded_", "x_real", "x-real_")


@dataclass(frozen=True)
class ListenerSpec:
    """The HTTP listener, and the HTTPS listener beside it.

    Attributes:
        host: IP address to bind.
        port: TCP port to bind.
        access_log: File for one JSON object per request; None writes none.
        trusted_proxies: Networks and addresses whose word on the client is believed.
        tls: The HTTPS listener; None: there is none.
        api: The api under a hostname of its own; None: it is not served.
    """

    host: str
    port: int
    access_log: Path | None = None
    trusted_proxies: Sequence[str] = ()
    tls: TlsSpec | None = None
    api: ApiSpec | None = None


def listeners(spec: ListenerSpec) -> list[JsonDict]:
    """The listeners; their routes come over RDS."""
    return [_plain(spec), *([_https(spec, spec.tls)] if spec.tls else [])]


def _plain(spec: ListenerSpec) -> JsonDict:
    chains: list[JsonDict] = [{"name": _OTHERS, "filters": [_connection_manager(spec, is_trusted=False)]}]
    if spec.trusted_proxies:
        ranges = [
            {"address_prefix": str(one.network_address), "prefix_len": one.prefixlen}
            for one in map(ip_network, spec.trusted_proxies)
        ]
        trusted = {
            "name": _TRUSTED,
            "filter_chain_match": {"source_prefix_ranges": ranges},
            "filters": [_connection_manager(spec, is_trusted=True)],
        }
        chains.insert(0, trusted)
    return {"name": LISTENER_NAME, **_bound(spec.host, spec.port), "filter_chains": chains}


def _https(spec: ListenerSpec, tls: TlsSpec) -> JsonDict:
    names = [_OTHERS, *([_TRUSTED] if spec.trusted_proxies else [])]
    return {
        "name": TLS_LISTENER_NAME,
        **_bound(tls.host, tls.port),
        "listener_filters": [hello_reader()],
        "listener_filters_timeout": f"{HELLO_TIMEOUT_S}s",
        "filter_chain_matcher": chain_matcher(_OTHERS, _TRUSTED, spec.trusted_proxies),
        "filter_chains": [
            {
                "name": name,
                "filters": [_connection_manager(spec, is_trusted=name == _TRUSTED, is_tls=True)],
                "transport_socket": transport_socket(),
                "transport_socket_connect_timeout": f"{HANDSHAKE_TIMEOUT_S}s",
            }
            for name in names
        ],
    }


def _bound(host: str, port: int) -> JsonDict:
    return {
        "address": socket_address(host, port),
        # With SO_REUSEPORT a second Envoy would silently take a share of the connections; without, it is refused.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 256 * 1024,
    }


def _connection_manager(spec: ListenerSpec, *, is_trusted: bool, is_tls: bool = False) -> JsonDict:
    router = typed("envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": typed(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix="ingress",
            codec_type="AUTO",
            rds={"route_config_name": ROUTE_TABLE, "config_source": ADS},
            http_filters=[
                {"name": "envoy.filters.http.rbac", "typed_config": _only_ports()},
                {"name": "envoy.filters.http.set_filter_state", "typed_config": _own_connections()},
                {"name": "envoy.filters.http.router", "typed_config": router},
            ],
            http_protocol_options=_http1(),
            http2_protocol_options=_http2(),
            upgrade_configs=[{"upgrade_type": "websocket"}],
            **_forwarding(is_trusted=is_trusted, is_tls=is_tls),
            **_request_id(),
            server_header_transformation="PASS_THROUGH",
            # The app decides whether it wants the body.
            proxy_100_continue=True,
            max_request_headers_kb=MAX_REQUEST_HEADERS_KIB,
            request_headers_timeout=f"{REQUEST_HEADERS_TIMEOUT_S}s",
            stream_idle_timeout=f"{STREAM_IDLE_S}s",
            common_http_protocol_options={"idle_timeout": f"{STREAM_IDLE_S}s", "max_headers_count": MAX_HEADERS},
            local_reply_config=local_reply_config(
                spec.api.hostname if spec.api else "", spec.tls.hsts_max_age_s if spec.tls and is_tls else 0
            ),
            access_log=[*access_stats(), *_access_logs(spec.access_log)],
        ),
    }


def _only_ports() -> JsonDict:
    """Refuses what has something else than the number of a port behind the host.

    Envoy finds the route by all that stands before the last colon. Apps build links of the whole, and
    `http://app:1@evil.example/` leads elsewhere; two Host headers arrive as one with a comma in it.
    """
    good = {"name": ":authority", "string_match": {"safe_regex": {"regex": _AUTHORITY}}}
    policy = {"permissions": [{"not_rule": {"header": good}}], "principals": [{"any": True}]}
    rules = {"action": "DENY", "policies": {"authority": policy}}
    return typed("envoy.extensions.filters.http.rbac.v3.RBAC", rules=rules)


def _own_connections() -> JsonDict:
    """Gives a request that must not meet a closing connection one to the app of its own.

    Envoy shares connections among the requests whose filter states are equal; `OWN_CONNECTION` makes this one unequal
    to all others. The route table asks the app to close it afterwards.
    """
    value = {
        "object_key": "sealift.connection",
        "factory_key": "envoy.hashable_string",
        "format_string": {"text_format_source": {"inline_string": f"%CEL({OWN_CONNECTION} ? request.id : '')%"}},
        "shared_with_upstream": "ONCE",
        "skip_if_empty": True,
    }
    return typed("envoy.extensions.filters.http.set_filter_state.v3.Config", on_request_headers=[value])


def _http1() -> JsonDict:
    return {
        "accept_http_10": True,
        "enable_trailers": True,
        "header_key_format": preserve_case(),
        # Envoy would refuse them with 403; without its header the request is an ordinary one, as HTTP allows.
        "ignore_http_11_upgrade": [{"safe_regex": {"regex": _anything_but("websocket")}}],
    }


def _http2() -> JsonDict:
    return {
        "max_concurrent_streams": MAX_STREAMS,
        "initial_stream_window_size": STREAM_WINDOW_BYTES,
        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
    }


def _anything_but(word: str) -> str:
    """A regular expression for every string that does not begin with `word`; RE2 knows no negative look-ahead."""
    branches = [f"{word[:at]}(?:[^{letter}].*)?" for at, letter in enumerate(word)]
    return f"(?i:{'|'.join(branches)})"


def _filled_in_proto(*, is_tls: bool) -> JsonDict:
    """An empty X-Forwarded-Proto is none: Envoy finds no route for it."""
    said = "request.headers['x-forwarded-proto']"
    value = f"%CEL({said} == '' ? '{'https' if is_tls else 'http'}' : {said})%"
    return {"append": {"header": {"key": "x-forwarded-proto", "value": value}, "append_action": "OVERWRITE_IF_EXISTS"}}


def _forwarding(*, is_trusted: bool, is_tls: bool) -> JsonDict:
    mutations: list[JsonDict] = [{"remove_on_match": {"key_matcher": {"prefix": name}}} for name in _LOOKALIKES]
    if is_trusted:
        mutations.append(_filled_in_proto(is_tls=is_tls))
    else:
        mutations += [{"remove_on_match": {"key_matcher": _matcher(name)}} for name in _FORWARDING]
    name = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return {
        "early_header_mutation_extensions": [
            {
                "name": "envoy.http.early_header_mutation.header_mutation",
                "typed_config": typed(name, mutations=mutations),
            }
        ],
        # The edge: nobody's x-envoy-* headers are obeyed. A hop that is trusted keeps its x-forwarded-proto.
        "use_remote_address": True,
        "xff_num_trusted_hops": 1 if is_trusted else 0,
        # The route table appends the peer: Envoy would name the machine's own address for a client on loopback.
        "skip_xff_append": True,
        # (An empty list would mean loopback and the private networks; this one matches nobody.)
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "forward_client_cert_details": "ALWAYS_FORWARD_ONLY" if is_trusted else "SANITIZE",
    }


def _matcher(name: str) -> JsonDict:
    return {"prefix" if name.endswith("-") else "exact": name}


def _request_id() -> JsonDict:
    uuid = typed(
        "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
        pack_trace_reason=False,  # would change a digit of the client's id
    )
    return {
        "preserve_external_request_id": True,
        "request_id_extension": {"typed_config": uuid},
    }


def _access_logs(path: Path | None) -> list[JsonDict]:
    if path is None:
        return []
    fields: dict[str, Any] = {
        "time": "%START_TIME%",
        "method": _cut("REQ(:METHOD)", "request.method"),
        "hostname": _cut("REQ(:AUTHORITY)", "request.host"),
        "path": _cut("PATH(NQ)", "request.url_path"),  # a query may hold what is secret
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "duration_ms": "%DURATION%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "protocol": "%PROTOCOL%",
        "deployment_id": "%UPSTREAM_CLUSTER%",
        "upstream": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "request_id": _cut("REQ(X-REQUEST-ID)", "request.id"),
    }
    log = typed(
        "envoy.extensions.access_loggers.file.v3.FileAccessLog", path=str(path), log_format={"json_format": fields}
    )
    return [{"name": "envoy.access_loggers.file", "typed_config": log}]


def _cut(operator: str, attribute: str) -> str:
    """What a client wrote, cut where it is too long for a log; "..." is then its end."""
    limit = MAX_LOGGED_CHARS
    return f"%{operator}:{limit}%%CEL(has({attribute}) && size({attribute}) > {limit} ? '...' : '')%"
