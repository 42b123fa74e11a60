"""Envoy's message types from `xds.binpb`, in a DescriptorPool of their own.

No generated modules: those of xds-protos overwrite modules of other packages. `dev/xds_descriptors.sh` rebuilds the
file. Messages are written in Envoy's documented JSON form; an unknown field raises `json_format.ParseError`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

TYPE_PREFIX = "type.googleapis.com/"
CLUSTER = "envoy.config.cluster.v3.Cluster"
ENDPOINTS = "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = "envoy.config.listener.v3.Listener"
ROUTE = "envoy.config.route.v3.Route"
ROUTES = "envoy.config.route.v3.RouteConfiguration"
SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105, no password
VIRTUAL_HOST = "envoy.config.route.v3.VirtualHost"

_DESCRIPTORS = Path(__file__).with_name("xds.binpb")


def _load() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(_DESCRIPTORS.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _load()


def message_class(name: str) -> Any:
    """The message class of a full protobuf name such as "envoy.config.route.v3.RouteConfiguration"."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


def message(name: str, value: Mapping[str, Any]) -> Any:
    """A message of the full protobuf name `name` from Envoy's JSON form ("@type" names the type of an Any)."""
    return json_format.ParseDict(dict(value), message_class(name)(), descriptor_pool=_POOL)


DiscoveryRequest = message_class("envoy.service.discovery.v3.DiscoveryRequest")
DiscoveryResponse = message_class("envoy.service.discovery.v3.DiscoveryResponse")
DeltaDiscoveryRequest = message_class("envoy.service.discovery.v3.DeltaDiscoveryRequest")
DeltaDiscoveryResponse = message_class("envoy.service.discovery.v3.DeltaDiscoveryResponse")
