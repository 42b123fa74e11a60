"""The section that configures a Disk store."""

from pathlib import Path
from typing import Literal

from pkg.config import read_secret_file
from pkg.config.sections import stays_here_problems
from pkg.storage.disk.store import DiskStore
from pkg.storage.port import StorageConfig
from pkg.storage.signer import UrlSigner


class DiskConfig(StorageConfig):
    """Objects in a folder of this machine.

    Attributes:
        backend: where objects are; "disk": in a folder, which the api serves.
        root: folder of the stored objects; api and worker share it.
        signing_key_file: 0600 file with the key that signs upload and download URLs; api and worker share it.
        external_url: where the api serves the objects to builders, e.g. "http://127.0.0.1:7401"; needed by the worker,
            the api knows it by itself.
    """

    backend: Literal["disk"] = "disk"
    root: Path
    signing_key_file: Path
    external_url: str = ""

    def problems_in_use(
        self, *, is_api: bool = False, who_is_elsewhere: str = "", needs_no_etag: bool = False
    ) -> list[str]:
        """See `StorageConfig.problems_in_use`."""
        del needs_no_etag  # it sends none
        if is_api:
            return []
        missing = [] if self.external_url else ["external_url: is required (string)"]
        return missing + stays_here_problems("external_url", self.external_url, who_is_elsewhere)

    def open(self, served_at: str = "") -> DiskStore:
        """See `StorageConfig.open`."""
        return DiskStore(self.root, UrlSigner(read_secret_file(self.signing_key_file)), self.external_url or served_at)
