"""Which certificate authorities a connection trusts: the system's, and those given for the server.

gRPC would use a list of its own, which knows no authority that an operator or a company has added to the system, and
the `ssl` module another one. Calls and uploads use this list.
"""

import ssl
from pathlib import Path

from sealift.client.errors import InputError

MAX_CA_BYTES = 1 << 20
_BEGIN = "-----BEGIN CERTIFICATE-----"
# Where systems keep the authorities in one file, if OpenSSL's own settings do not name it.
_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def trusted_certificates(ca_certificates: str = "") -> str:
    """PEM of the system's authorities and of `ca_certificates`."""
    return f"{_system_certificates()}\n{ca_certificates}"


def tls_context(ca_certificates: str = "") -> ssl.SSLContext:
    """For a TLS client: verifies certificates and names by `trusted_certificates`."""
    return ssl.create_default_context(cadata=trusted_certificates(ca_certificates))


def read_ca_file(path: Path, what: str) -> str:
    """The certificates in a PEM file.

    Args:
        path: of the file.
        what: the option or variable that names it, for the message.

    Raises:
        InputError: it can't be read, or contains no certificate.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CA_BYTES + 1)
    except OSError as error:
        raise InputError(f"{what}: can't read {path}: {error.strerror}", code="tls.ca_file", field=what) from None
    text = content.decode("ascii", "replace")
    try:
        if _BEGIN not in text or len(content) > MAX_CA_BYTES:
            raise ssl.SSLError
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise InputError(
            f"{what}: {path} contains no certificate in PEM form (text that begins with {_BEGIN})",
            code="tls.ca_file",
            field=what,
        ) from None
    return text


def _system_certificates() -> str:
    named = ssl.get_default_verify_paths().cafile  # of SSL_CERT_FILE, else of OpenSSL's settings; only if it exists
    for path in (named, *_SYSTEM_FILES):
        try:
            text = Path(path).read_text("utf-8", "replace") if path else ""
        except OSError:
            continue
        if _BEGIN in text:
            # comments may hold text that is not ASCII, which `ssl` does not accept
            return text.encode("ascii", "replace").decode("ascii")
    return _bundled_certificates()


def _bundled_certificates() -> str:
    """The authorities that come with gRPC, for a system that has none in a file (macOS, Windows, small images)."""
    import pkgutil

    found = pkgutil.get_data("grpc", "_cython/_credentials/roots.pem")
    return found.decode("ascii", "replace") if found else ""
