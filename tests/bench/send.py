"""Scans, packs and uploads a directory like `sealift deploy`, in a separate process. Arguments: DIRECTORY URL."""

import sys
from pathlib import Path

from sealift.client.archive import pack
from sealift.client.context import scan
from sealift.client.upload import upload_archive

if __name__ == "__main__":
    with pack(scan(Path(sys.argv[1])), max_bytes=1 << 30) as archive:
        upload_archive(archive, sys.argv[2])
