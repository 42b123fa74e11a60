"""The api behind Envoy, under a hostname of its own: what of it is reached there, and what is not. Pure.

Its clusters stand in every answer of krane, and its virtual host in every table, whatever becomes of apps.
"""

from dataclasses import dataclass
from ipaddress import ip_address

from svc.krane.ingress.hostnames import spellings
from svc.krane.ingress.hosts import redirect
from svc.krane.ingress.resources import API_ROUTE, CONNECT_TIMEOUT_S, DEPLOYMENT_HEADER, JsonDict, socket_address, typed
from svc.krane.ingress.tls import TlsSpec

GRPC_CLUSTER = "sealift-api-grpc"
HTTP_CLUSTER = "sealift-api-http"

# The api's HTTP listener drops a connection after 30 s without a request.
_IDLE_S = 20
# The api bounds connections before it knows who calls. Those of the ingress, which are of all its clients together,
# leave room for builders and for this machine: HTTP takes 256 of one peer, gRPC 1024 in all with 256 streams on each.
_MAX_CONNECTIONS = {GRPC_CLUSTER: 64, HTTP_CLUSTER: 192}
_MAX_REQUESTS = 10_000
# The feed says something every 10 s, and clients end their streams after a minute: what is silent for longer is gone.
_STREAM_IDLE_S = 300
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Paths that a server behind might read as another one.
_CROOKED = r".*(/\.\.?(/.*)?|//.*|\\.*|%(2[eEfF]|5[cC]|00).*)"
# What the api serves by HTTP to people and programs from outside; /health, /metrics and the rest are for the machine.
_HTTP_PREFIXES = ("/sealift.", "/objects/")
_GRPC_PREFIX = "/sealift."


@dataclass(frozen=True)
class ApiSpec:
    """Where the api is.

    Attributes:
        hostname: Under which it is reached through Envoy, in lower case.
        grpc: Address and port of its gRPC; the address may be a name.
        http: The same of its HTTP.
        is_plain_allowed: Whether it is served by plain HTTP, too.
    """

    hostname: str
    grpc: tuple[str, int]
    http: tuple[str, int]
    is_plain_allowed: bool


def clusters(spec: ApiSpec) -> list[JsonDict]:
    """The two clusters of the api."""
    http2 = {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
    return [
        _cluster(GRPC_CLUSTER, spec.grpc, {"http2_protocol_options": http2}),
        _cluster(HTTP_CLUSTER, spec.http, {"http_protocol_options": {}}),
    ]


def _cluster(name: str, address: tuple[str, int], protocol: JsonDict) -> JsonDict:
    limits = {"max_connections": _MAX_CONNECTIONS[name]}
    limits |= dict.fromkeys(("max_pending_requests", "max_requests"), _MAX_REQUESTS)
    return {
        "name": name,
        "type": "STATIC" if _is_ip(address[0]) else "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        # A name that does not resolve yet holds back no app.
        "wait_for_warm_on_init": False,
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(*address)}}]}],
        },
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: typed(
                _HTTP_OPTIONS,
                explicit_http_config=protocol,
                common_http_protocol_options={"idle_timeout": f"{_IDLE_S}s"},
            )
        },
    }


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def virtual_host(spec: ApiSpec, tls: TlsSpec | None) -> JsonDict:
    """GRPC by content type, the rest by path, and nothing else."""
    plain: list[JsonDict] = []
    if not spec.is_plain_allowed:
        match = {"prefix": "/", "headers": [{"name": "x-forwarded-proto", "string_match": {"exact": "http"}}]}
        refusal = {"direct_response": {"status": 403}}
        plain = [{"match": match, **({"redirect": redirect(spec.hostname, tls)} if tls else refusal)}]
    routes = [
        *plain,
        {"match": {"safe_regex": {"regex": _CROOKED}}, "direct_response": _NOTHING_HERE},
        {"name": API_ROUTE, "match": {"prefix": _GRPC_PREFIX, "grpc": {}}, "route": _to(GRPC_CLUSTER)},
        {"match": {"prefix": "/", "grpc": {}}, "direct_response": _NOTHING_HERE},
        *({"name": API_ROUTE, "match": {"prefix": p}, "route": _to(HTTP_CLUSTER)} for p in _HTTP_PREFIXES),
        {"match": {"prefix": "/"}, "direct_response": _NOTHING_HERE},
    ]
    return {
        "name": spec.hostname,
        "domains": spellings(spec.hostname),
        "routes": routes,
        "response_headers_to_remove": [DEPLOYMENT_HEADER],
    }


# In words by `replies`.
_NOTHING_HERE: JsonDict = {"status": 404}


def _to(cluster: str) -> JsonDict:
    # Streams go on for ever, and an upload takes as long as it takes.
    return {"cluster": cluster, "timeout": "0s", "idle_timeout": f"{_STREAM_IDLE_S}s"}
