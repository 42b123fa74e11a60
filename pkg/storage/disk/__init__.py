"""The `disk` store: files of one folder, which the api serves over expiring signed URLs. For one machine."""

from pkg.storage.disk.store import DiskStore

__all__ = ["DiskStore"]
