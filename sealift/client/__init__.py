"""The Python client of a Sealift server.

Main types:
    `Client`      one connection: every call of the control API, with deadlines, retries and typed errors.
    `Endpoint`    the server's URL and the key; `find_endpoint` finds them as the command line does.
    `scan`, `pack`, `upload_archive`   scan a directory as a build context, pack it, upload the archive.
    `follow_deployment`, `follow_build_logs`, `follow_operation`   streams that reconnect.

Errors are `ClientError` and its subclasses (`errors`), with a stable code and a message with the next step. Importing
this package does not import gRPC; the names below are loaded on first use.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sealift.client.archive import Archive as Archive
    from sealift.client.archive import pack as pack
    from sealift.client.client import Client as Client
    from sealift.client.context import Context as Context
    from sealift.client.context import scan as scan
    from sealift.client.credentials import Endpoint as Endpoint
    from sealift.client.credentials import find_endpoint as find_endpoint
    from sealift.client.errors import ClientError as ClientError
    from sealift.client.follow import follow_build_logs as follow_build_logs
    from sealift.client.follow import follow_deployment as follow_deployment
    from sealift.client.follow import follow_operation as follow_operation
    from sealift.client.upload import upload_archive as upload_archive

_HOMES = {
    "Archive": "archive",
    "Client": "client",
    "ClientError": "errors",
    "Context": "context",
    "Endpoint": "credentials",
    "find_endpoint": "credentials",
    "follow_build_logs": "follow",
    "follow_deployment": "follow",
    "follow_operation": "follow",
    "pack": "archive",
    "scan": "context",
    "upload_archive": "upload",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Load `name` from its module on first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
