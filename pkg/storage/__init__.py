"""Objects: build contexts and other files that are too big for the database.

`port.ObjectStore` is what the rest of the house sees. `disk.DiskStore` is the adapter for one machine: files under one
directory, served by the api over expiring signed URLs (`disk_http.add_routes`). Both fail with `pkg.errors`:
`object.path_invalid`, `object.not_found`, `object.disk_full`.

An object is immutable in use: its path carries its content's hash, so that writing it twice is the same as once.
"""

from pkg.storage.disk import DiskStore
from pkg.storage.disk_http import RUNNER_LIMITS, add_routes
from pkg.storage.port import ObjectInfo, ObjectStore, check_path
from pkg.storage.signer import UrlSigner

__all__ = ["RUNNER_LIMITS", "DiskStore", "ObjectInfo", "ObjectStore", "UrlSigner", "add_routes", "check_path"]
