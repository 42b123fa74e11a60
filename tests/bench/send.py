"""What `sealift deploy` does between its start and the end of the upload, in a process of its own: DIRECTORY URL."""

import sys
from pathlib import Path

from sealift.client.archive import pack
from sealift.client.context import scan
from sealift.client.upload import upload_archive

if __name__ == "__main__":
    with pack(scan(Path(sys.argv[1])), max_bytes=1 << 30) as archive:
        upload_archive(archive, sys.argv[2])
