"""Every object store that can be configured. A new one joins by one line here: its section in the union."""

from typing import TypeAlias

from pkg.storage.disk.config import DiskConfig
from pkg.storage.s3.config import S3Config

# The key `backend` chooses among them; the first one is the default.
AnyStorageConfig: TypeAlias = DiskConfig | S3Config
