"""Under which address of the api a client uploads: one that suits the address by which it came. Pure."""

from urllib.parse import urlsplit

from pkg.config.sections import stays_here
from pkg.errors import FailedPrecondition
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

    Raises:
        FailedPrecondition: `upload.insecure`: the call came by HTTPS, and the upload would go over a network without.
    """
    url = _suited(upload, client, api_hostname, local_url, is_on_loopback=is_on_loopback)
    if client.server_url.startswith("https:") and url.startswith("http:") and not stays_here(url):
        raise FailedPrecondition(
            "upload.insecure",
            f"Build contexts of this server are uploaded to http://{urlsplit(url).netloc}, without TLS, while calls "
            "come by HTTPS: the operator sets external_url of [objects] or of the api's [http] to an https:// URL.",
        )
    return url


def _suited(upload: PresignedPut, client: Client, api_hostname: str, local_url: str, *, is_on_loopback: bool) -> str:
    if not upload.served_path:
        return upload.url
    if client.server_url and client.server_host == api_hostname:
        return f"{client.server_url}{upload.served_path}"
    if is_on_loopback and not client.server_url:
        return f"{local_url}{upload.served_path}"
    return upload.url
