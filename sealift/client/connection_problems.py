"""Why there is no connection, in words with a next step, from what gRPC and the `ssl` module say. Pure."""

from dataclasses import dataclass

from sealift.client.address import Address, ip_of


@dataclass(frozen=True)
class ConnectionProblem:
    """A reason that trying again does not change.

    Attributes:
        code: stable, see docs/errors.md.
        message: what is wrong, and the next step.
    """

    code: str
    message: str


_UNKNOWN_AUTHORITY = (
    "the certificate of {url} is from an authority that this machine does not trust. If the installation has an "
    "authority of its own, the operator gets its certificate with `sealift trust --pem`; then: sealift login {url} "
    "--ca-file FILE, or set SEALIFT_CA_FILE. If not, somebody may be reading along: do not go on"
)
_EXPIRED = (
    "the certificate of {url} has expired: check this machine's clock; if it is right, the operator looks at "
    "`sealift certificates`"
)
_NOT_YET_VALID = "the certificate of {url} is not valid yet: check this machine's clock"
_WRONG_NAME = (
    "the certificate at {url} is for another name than {host}: check the URL; the operator sets the name of the api "
    "with [ingress] api_hostname"
)
_NO_CERTIFICATE = (
    "{netloc} has no certificate for {host}, and refuses the connection: check the URL; the operator sees with "
    "`sealift certificates` which names have one"
)
_BY_ADDRESS = (
    "{netloc} closes the connection during the TLS handshake, as a server does that knows hostnames only: use a URL "
    "with the server's hostname"
)
_NO_TLS = (
    "{netloc} answers, but not with TLS: check the port; https is usually 443. On the server itself, and through a "
    "tunnel to it, the URL begins with http://"
)
_HTTP1 = (
    "{url} answers with HTTP/1.1 only, and calls need HTTP/2: a proxy in front of the server must pass HTTP/2 (gRPC) on"
)
_HTTP_PORT = "{url} is an HTTP port: use the gRPC port, 7400 unless the operator chose another"
_REDIRECT = "{url} sends calls to another address: use the URL that the operator gave, which begins with https://"
_OTHER = (
    "what answers at {url} is not a Sealift server: check the URL; a network that wants a login in the browser, or a "
    "proxy, can answer in its place"
)
_AN_APP = (
    "{url} is an address for apps of a Sealift installation, not that of its api: use the URL that the operator gave "
    "([ingress] api_hostname)"
)

# Text of gRPC, or of the `ssl` module, in lower case -> code and message. The first match is used.
_PROBLEMS: tuple[tuple[str, str, str], ...] = (
    ("certificate has expired", "tls.expired", _EXPIRED),
    ("certificate is not yet valid", "tls.not_yet_valid", _NOT_YET_VALID),
    ("hostname verification check failed", "tls.wrong_name", _WRONG_NAME),
    ("hostname mismatch", "tls.wrong_name", _WRONG_NAME),
    ("ip address mismatch", "tls.wrong_name", _WRONG_NAME),
    ("certificate_verify_failed", "tls.unknown_authority", _UNKNOWN_AUTHORITY),
    ("alert_handshake_failure", "tls.no_certificate", _NO_CERTIFICATE),
    ("alert_unrecognized_name", "tls.no_certificate", _NO_CERTIFICATE),
    ("tlsv1_unrecognized_name", "tls.no_certificate", _NO_CERTIFICATE),
    ("wrong_version_number", "tls.none", _NO_TLS),
    ("record layer failure", "tls.none", _NO_TLS),
    ("missing selected alpn property", "connection.http1", _HTTP1),
    ("http1.x server (http status 3", "connection.redirected", _REDIRECT),
    ("received http2 header with status: 3", "connection.redirected", _REDIRECT),
    ("received http2 header with status: 2", "connection.not_sealift", _OTHER),
    ("received http2 header with status: 4", "connection.not_sealift", _OTHER),
    ("received http2 header with status: 500", "connection.not_sealift", _OTHER),
    ("received http2 header with status: 501", "connection.not_sealift", _OTHER),
    ("invalid content-type", "connection.not_sealift", _OTHER),
    ("http1.x server", "connection.http1", _HTTP1),
)


def problem_of(details: str, server: Address) -> ConnectionProblem | None:
    """The reason in the text of a failed connection or call to `server`; None if trying again may help."""
    text = details.lower()
    for mark, code, message in _PROBLEMS:
        if mark in text:
            form = _HTTP_PORT if message is _HTTP1 and not server.is_tls else message
            return _problem(code, form, server)
    if server.is_tls and ip_of(server.host) and "handshake" in text:
        return _problem("tls.no_certificate", _BY_ADDRESS, server)
    return None


def not_the_api(server: Address) -> ConnectionProblem:
    """The ingress of an installation answers, under a name that is not the api's."""
    return _problem("connection.not_sealift", _AN_APP, server)


def _problem(code: str, form: str, server: Address) -> ConnectionProblem:
    return ConnectionProblem(code, form.format(url=server, host=server.host, netloc=server.netloc))


def tls_required(server: Address) -> ConnectionProblem:
    """An http:// URL leads to a port that speaks TLS."""
    secure = Address("https", server.host, server.port)
    return ConnectionProblem(code="tls.required", message=f"{server.netloc} speaks TLS: use {secure}")
