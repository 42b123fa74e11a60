"""Envoy's bootstrap: who it is, where its control plane listens, its limits. All else comes over ADS."""

from pathlib import Path
from typing import Any

# Counters by deployment (svc/krane/ingress/access_stats.py) end when nothing was counted for so long, up to twice that.
STATS_EVICTION_S = 3600
SOCKET_PATH_MAX = 107  # sun_path is 108 bytes with the closing NUL

ADS_CLUSTER = "krane"
_MAX_STREAMS = 100_000
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TYPE = "type.googleapis.com/"


def bootstrap(
    *,
    node_id: str,
    cluster: str,
    ads_socket: Path,
    admin_socket: Path,
    max_heap_mib: int = 1024,
    max_connections: int = 20_000,
) -> dict[str, Any]:
    """The bootstrap as a dict; written as JSON it is what `command` expects at `config_path`.

    Envoy requests everything from the control plane and waits without a limit: until an answer it opens no listener,
    so an empty configuration is never served. Its admin interface is a unix socket (mode 0600); nothing else listens.

    Args:
        node_id: Name of this Envoy, which it sends to the control plane.
        cluster: Name of the group it belongs to (the region).
        ads_socket: Unix socket of krane's ADS server.
        admin_socket: Unix socket that Envoy opens for its admin interface.
        max_heap_mib: Heap limit in MiB; near it Envoy gives memory back, then refuses new requests with 503.
        max_connections: Downstream connections at one time; more are closed at once.

    Raises:
        ValueError: A socket path is longer than 107 bytes.
    """
    for path in (ads_socket, admin_socket):
        if len(str(path).encode()) > SOCKET_PATH_MAX:
            raise ValueError(
                f"the socket path {path} has {len(str(path).encode())} bytes; the kernel takes {SOCKET_PATH_MAX}: "
                "choose a shorter runtime directory"
            )
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    return {
        "node": {"id": node_id, "cluster": cluster},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}},
        "dynamic_resources": {"ads_config": _ads_config(), "cds_config": ads, "lds_config": ads},
        "static_resources": {"clusters": [_ads_cluster(ads_socket)]},
        "overload_manager": _overload(max_heap_mib, max_connections),
        "layered_runtime": {"layers": [{"name": "sealift", "static_layer": {}}, {"name": "admin", "admin_layer": {}}]},
        "stats_eviction_interval": f"{STATS_EVICTION_S}s",
        "deferred_stat_options": {"enable_deferred_creation_stats": True},  # memory for clusters that have traffic only
        "application_log_config": {
            "log_format": {"json_format": {"time": "%Y-%m-%dT%T.%fZ", "level": "%l", "logger": "%n", "message": "%j"}}
        },
    }


def _ads_config() -> dict[str, Any]:
    # A restarted krane is found again within a quarter of a second.
    retry = {"retry_back_off": {"base_interval": "0.050s", "max_interval": "0.250s"}}
    return {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": ADS_CLUSTER, "retry_policy": retry}}],
    }


def _ads_cluster(ads_socket: Path) -> dict[str, Any]:
    http2 = {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
    return {
        "name": ADS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        # A stream for each hostname that has a certificate, beside the one of all else.
        "circuit_breakers": {"thresholds": [dict.fromkeys(("max_requests", "max_pending_requests"), _MAX_STREAMS)]},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": _TYPE + _HTTP_OPTIONS,
                "explicit_http_config": {"http2_protocol_options": http2},
            }
        },
        "load_assignment": {
            "cluster_name": ADS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(ads_socket)}}}}]}],
        },
    }


def _overload(max_heap_mib: int, max_connections: int) -> dict[str, Any]:
    def heap_trigger(part: float) -> list[dict[str, Any]]:
        return [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": part}}]

    return {
        "refresh_interval": "0.250s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {
                    "@type": _TYPE + "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": max_heap_mib * 1024 * 1024,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": _TYPE
                    + "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": max_connections,
                },
            },
        ],
        "actions": [
            {"name": "envoy.overload_actions.shrink_heap", "triggers": heap_trigger(0.90)},
            {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": heap_trigger(0.98)},
        ],
    }
