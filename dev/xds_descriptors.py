"""Write the descriptors of the Envoy messages that krane speaks as one self-contained FileDescriptorSet.

Runs in an environment that holds xds-protos and protobuf only: xds-protos overwrites modules of other packages
(opentelemetry/proto, google/rpc, envoy/__init__.py), so it must never meet them. Output is deterministic: files in
dependency order, source information dropped.

    python xds_descriptors.py xds.binpb
"""

import importlib
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

# Discovery, the resources, and the messages in their `Any` fields.
ROOTS = [
    "envoy.service.discovery.v3.ads_pb2",
    "envoy.service.discovery.v3.discovery_pb2",
    "envoy.config.cluster.v3.cluster_pb2",
    "envoy.config.endpoint.v3.endpoint_pb2",
    "envoy.config.listener.v3.listener_pb2",
    "envoy.config.route.v3.route_pb2",
    "envoy.extensions.access_loggers.file.v3.file_pb2",
    "envoy.extensions.access_loggers.filters.cel.v3.cel_pb2",
    "envoy.extensions.access_loggers.stats.v3.stats_pb2",
    "envoy.extensions.filters.http.rbac.v3.rbac_pb2",
    "envoy.extensions.filters.http.router.v3.router_pb2",
    "envoy.extensions.filters.http.set_filter_state.v3.set_filter_state_pb2",
    "envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
    "envoy.extensions.http.early_header_mutation.header_mutation.v3.header_mutation_pb2",
    "envoy.extensions.http.header_formatters.preserve_case.v3.preserve_case_pb2",
    "envoy.extensions.matching.common_inputs.network.v3.network_inputs_pb2",
    "envoy.extensions.matching.input_matchers.ip.v3.ip_pb2",
    "envoy.extensions.request_id.uuid.v3.uuid_pb2",
    "envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2",
    "envoy.extensions.transport_sockets.tls.v3.tls_pb2",
    "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
    "xds.type.matcher.v3.matcher_pb2",
]

# Messages that Envoy has and xds-protos lacks, with their fields and their numbers as Envoy documents them.
CORE = ["envoy/config/core/v3/config_source.proto", "envoy/config/core/v3/extension.proto"]
TLS = "envoy.extensions.transport_sockets.tls"
LACKING: dict[str, dict[str, dict[str, tuple[int, str]]]] = {
    f"{TLS}.cert_selectors.on_demand_secret.v3": {
        "Config": {
            "config_source": (1, "envoy.config.core.v3.ConfigSource"),
            "certificate_mapper": (2, "envoy.config.core.v3.TypedExtensionConfig"),
        }
    },
    f"{TLS}.cert_mappers.sni.v3": {"SNI": {"default_value": (1, "string")}},
}
# Fields that it lacks of a message, by the file and its message, and the messages that these need.
LACKING_FIELDS = {
    "envoy/extensions/access_loggers/stats/v3/stats.proto": ("Config", {"stats_scope": (6, "envoy.type.v3.Scope")}),
}
LIMIT = "google.protobuf.UInt32Value"
SCOPE: dict[str, dict[str, tuple[int, str]]] = {
    "Scope": {
        "max_counters": (1, LIMIT),
        "max_histograms": (3, LIMIT),
        "enable_eviction": (4, "bool"),
        "prefix": (5, "string"),
        "sharing_name": (6, "string"),
    }
}


def main(out: str) -> None:
    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(descriptor: FileDescriptor) -> None:
        if descriptor.name in seen:
            return
        seen.add(descriptor.name)
        for dependency in descriptor.dependencies:  # dependencies first, as a DescriptorPool requires
            add(dependency)
        if descriptor.name in LACKING_FIELDS:
            files.file.append(lacking("envoy.type.v3", SCOPE, ["google/protobuf/wrappers.proto"]))
        proto = files.file.add()
        descriptor.CopyToProto(proto)
        proto.ClearField("source_code_info")
        if descriptor.name in LACKING_FIELDS:
            proto.dependency.append(files.file[-2].name)
            name, fields = LACKING_FIELDS[descriptor.name]
            extend(next(message for message in proto.message_type if message.name == name), fields)

    for module in ROOTS:
        add(importlib.import_module(module).DESCRIPTOR)
    for package, messages in LACKING.items():
        files.file.append(lacking(package, messages, CORE))
    data = files.SerializeToString(deterministic=True)
    Path(out).write_bytes(data)
    print(f"{len(files.file)} files, {len(data)} bytes")


def lacking(
    package: str, messages: dict[str, dict[str, tuple[int, str]]], dependencies: list[str]
) -> descriptor_pb2.FileDescriptorProto:
    """A file of messages whose fields are strings, booleans, or messages that other files define."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}/config.proto",
        package=package,
        syntax="proto3",
        dependency=dependencies,
    )
    for name, fields in messages.items():
        extend(file.message_type.add(name=name), fields)
    return file


def extend(message: descriptor_pb2.DescriptorProto, fields: dict[str, tuple[int, str]]) -> None:
    """Adds fields to a message."""
    kinds = descriptor_pb2.FieldDescriptorProto
    for field, (number, kind) in fields.items():
        added = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING)
        if kind == "bool":
            added.type = kinds.TYPE_BOOL
        elif "." in kind:
            added.type, added.type_name = kinds.TYPE_MESSAGE, f".{kind}"


if __name__ == "__main__":
    main(sys.argv[1])
