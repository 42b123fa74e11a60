"""TLS of the HTTPS listener: which handshakes begin, and where Envoy asks for the certificate of a hostname. Pure.

Envoy asks krane for a certificate at the first handshake that names its hostname (`secrets`), so that hostnames and
certificates come and go while the listener stays as it is, with all its connections.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from pkg.envoy import ADS_CLUSTER
from svc.krane.ingress.resources import JsonDict, typed

LISTENER_NAME = "https"

# From the connection to the end of the handshake. An ordinary one takes milliseconds, a slow one two round trips.
HANDSHAKE_TIMEOUT_S = 10
# Until the client's first message, with which a handshake begins, has arrived.
HELLO_TIMEOUT_S = 5

# What a hostname may consist of on the wire; anything else has no certificate, and need not be asked for.
_SERVER_NAME = r"[A-Za-z0-9._*-]{1,253}"
_TLS = "envoy.extensions.transport_sockets.tls"
_INPUTS = "envoy.extensions.matching.common_inputs.network.v3"


@dataclass(frozen=True)
class TlsSpec:
    """The HTTPS listener.

    Attributes:
        host: IP address to bind.
        port: TCP port to bind.
        public_port: Under which clients reach it.
        redirect: Whether plain HTTP is redirected here for hostnames that have a certificate.
        hsts_max_age_s: Of the Strict-Transport-Security header; 0 sends none.
    """

    host: str
    port: int
    public_port: int = 443
    redirect: bool = False
    hsts_max_age_s: int = 0


def transport_socket() -> JsonDict:
    """TLS 1.2 and newer, HTTP/2 and HTTP/1.1, a certificate by the hostname that the client asks for.

    Sessions are not resumed: Envoy cannot where it gets certificates on demand.
    """
    sni = typed(f"{_TLS}.cert_mappers.sni.v3.SNI", default_value="-")
    selector = typed(
        f"{_TLS}.cert_selectors.on_demand_secret.v3.Config",
        config_source=_secrets_source(),
        certificate_mapper={"name": "sni", "typed_config": sni},
    )
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            f"{_TLS}.v3.DownstreamTlsContext",
            disable_stateless_session_resumption=True,
            disable_stateful_session_resumption=True,
            common_tls_context={
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "alpn_protocols": ["h2", "http/1.1"],
                "custom_tls_certificate_selector": {
                    "name": "envoy.tls.certificate_selectors.on_demand_secret",
                    "typed_config": selector,
                },
            },
        ),
    }


def _secrets_source() -> JsonDict:
    """Krane's SDS, with a stream for each hostname.

    Not ADS: only in the incremental form can krane answer that a hostname has no certificate. Envoy then ends the
    handshake and forgets the hostname; without an answer it would keep both.
    """
    retry = {"retry_back_off": {"base_interval": "0.100s", "max_interval": "2s"}}
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": ADS_CLUSTER, "retry_policy": retry}}],
        },
    }


def chain_matcher(chain: str, trusted_chain: str, trusted_proxies: Sequence[str]) -> JsonDict:
    """Chooses the filter chain by the peer's address; no chain, so that the connection is closed, without a hostname.

    A client that names none, or something that is no hostname, is never asked for at krane.
    """
    by_name = _predicate("ServerNameInput", {"value_match": _regex(_SERVER_NAME)})
    on_match = _chain(chain)
    if trusted_proxies:
        ranges = [
            {"address_prefix": str(one.network_address), "prefix_len": one.prefixlen}
            for one in map(ip_network, trusted_proxies)
        ]
        ip = typed("envoy.extensions.matching.input_matchers.ip.v3.Ip", cidr_ranges=ranges, stat_prefix="trusted")
        is_trusted = _predicate("SourceIPInput", {"custom_match": {"name": "ip", "typed_config": ip}})
        trusted = {"predicate": is_trusted, "on_match": _chain(trusted_chain)}
        on_match = {"matcher": {"matcher_list": {"matchers": [trusted]}, "on_no_match": _chain(chain)}}
    return {"matcher_list": {"matchers": [{"predicate": by_name, "on_match": on_match}]}}


def hello_reader() -> JsonDict:
    """The listener filter that reads the hostname of the client's first message."""
    inspector = typed("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector")
    return {"name": "envoy.filters.listener.tls_inspector", "typed_config": inspector}


def _chain(name: str) -> JsonDict:
    action = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": name}
    return {"action": {"name": name, "typed_config": action}}


def _predicate(what: str, match: JsonDict) -> JsonDict:
    return {"single_predicate": {"input": {"name": what, "typed_config": typed(f"{_INPUTS}.{what}")}, **match}}


def _regex(pattern: str) -> dict[str, Any]:
    return {"safe_regex": {"google_re2": {}, "regex": pattern}}
