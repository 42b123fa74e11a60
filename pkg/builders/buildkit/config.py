"""The section that configures builds by a buildkitd."""

from pathlib import Path

from pkg.builders.buildkit.backend import BuildkitBuilder
from pkg.builders.buildkit.connection import Connection, TcpConnection, UnixConnection
from pkg.builders.buildkit.settings import TCP, UNIX, BuildkitSettings
from pkg.builders.port import BuilderConfig
from pkg.registry import RegistryConfig


class BuildkitConfig(BuildkitSettings, BuilderConfig):
    """Builds by a buildkitd."""

    def open(self, registry: RegistryConfig | None = None) -> BuildkitBuilder:
        """See `BuilderConfig.open`."""
        assert registry is not None  # problems_beside
        if self.address.startswith(UNIX):
            return self._builder(UnixConnection(Path(self.address.removeprefix(UNIX))), registry)
        assert self.ca_file is not None
        assert self.cert_file is not None
        assert self.key_file is not None
        endpoint = self.address.removeprefix(TCP)
        tcp = TcpConnection(
            endpoint,
            server_name=self.server_name or endpoint.rpartition(":")[0].strip("[]"),
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
        )
        return self._builder(tcp, registry)

    def _builder(self, connection: Connection, registry: RegistryConfig) -> BuildkitBuilder:
        return BuildkitBuilder(connection, registry, sbom_scanner=self.sbom_scanner, platform=self.default_platform)
