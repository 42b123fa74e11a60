"""The section that configures an S3 store."""

from typing import TYPE_CHECKING

from pkg.storage.port import StorageConfig
from pkg.storage.s3.settings import S3Settings

if TYPE_CHECKING:
    from pkg.storage.s3.store import S3Store


class S3Config(S3Settings, StorageConfig):
    """Objects in a bucket of an S3 server."""

    def open(self, served_at: str = "") -> "S3Store":
        """See `StorageConfig.open`."""
        from pkg.storage.s3.store import S3Store

        return S3Store(self, self.api_url or served_at)
