"""Under which address of the api a client uploads: one that suits the address by which it came. Pure."""

from pkg.storage.port import PresignedPut
from svc.api.rpc.clients import Client


def upload_url(upload: PresignedPut, client: Client, api_hostname: str, local_url: str, *, is_on_loopback: bool) -> str:
    """The URL to give to a client.

    A client that came by the api's hostname uploads there, under the port and scheme that it used. One on this machine,
    or at the end of a tunnel to it, uses loopback: it need not trust the certificate, nor reach the public name. All
    others get what the store has signed: `http.external_url`, if that is set.

    Args:
        upload: as the store has signed it.
        client: from where the call comes.
        api_hostname: under which the api is reached through the ingress; "": it is not.
        local_url: of the HTTP listener, for this machine.
        is_on_loopback: what the client says; a wrong word harms only itself.
    """
    if not upload.served_path:
        return upload.url
    if client.server_url and client.server_host == api_hostname:
        return f"{client.server_url}{upload.served_path}"
    if is_on_loopback and not client.server_url:
        return f"{local_url}{upload.served_path}"
    return upload.url
