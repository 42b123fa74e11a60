"""Certificates, and how to trust their authority, as text. Pure but for the clock."""

from sealift.cli.format.enum_names import short
from sealift.cli.format.text import ago, clean, day, until
from sealift.ctrl.v1 import acme_pb2


def state_text(certificate: acme_pb2.ManagedCertificate) -> str:
    """E.g. "valid", or "missing, ordered" while an order is under way."""
    name = short(acme_pb2.CertificateState.Name, certificate.state, "CERTIFICATE_STATE_")
    return f"{name}, ordered" if certificate.is_ordered else name


def issuer_text(certificate: acme_pb2.ManagedCertificate) -> str:
    """E.g. "local" or "acme (http-01)"."""
    name = short(acme_pb2.CertificateIssuer.Name, certificate.issuer, "CERTIFICATE_ISSUER_")
    return f"{name} ({clean(certificate.challenge)})" if certificate.challenge else name


def names_text(certificate: acme_pb2.ManagedCertificate) -> str:
    """The names that it covers, that of the certificate itself first."""
    return ", ".join(dict.fromkeys(map(clean, (certificate.name, *certificate.names))))


def expiry_day(certificate: acme_pb2.ManagedCertificate) -> str:
    """The day on which it expires; "-" while there is none."""
    return day(certificate.not_after) if certificate.not_after else "-"


def note_text(certificate: acme_pb2.ManagedCertificate) -> str:
    """What a person should know: the last failure and the next attempt, or who does not serve it yet."""
    if certificate.error_message:
        return f"{clean(certificate.error_message)} Next attempt: {until(certificate.next_order_at)}."
    if certificate.pending_regions:
        return f"not served yet in {', '.join(map(clean, certificate.pending_regions))}"
    return ""


def certificate_text(found: acme_pb2.GetCertificateStatusResponse) -> str:
    """All of one, for `certificates show`."""
    one = found.certificate
    lines = [f"names      {names_text(one)}", f"state      {state_text(one)}"]
    lines.append(f"issuer     {issuer_text(one)}")
    if one.certificate_id:
        lines.append(f"valid      {day(one.not_before)} to {day(one.not_after)}")
    if one.pending_regions:
        lines.append(f"pending    not served yet in {', '.join(map(clean, one.pending_regions))}")
    if one.error_message:
        lines.append(f"failed     {ago(one.failed_at)} ago, {one.failures} in a row: {clean(one.error_message)}")
    if not one.is_ordered:
        what = "attempt   " if one.error_message or not one.certificate_id else "renewal   "
        lines.append(f"{what} {until(one.next_order_at)}")
    for order in found.orders:
        reason = f": {clean(order.error_message)}" if order.error_message else ""
        lines.append(f"order      {clean(order.order_id)} {clean(order.status)} {ago(order.created_at)} ago{reason}")
    return "\n".join(lines)


def fingerprint_text(fingerprint: str) -> str:
    """In the form that browsers and OpenSSL show."""
    return ":".join(fingerprint[at : at + 2].upper() for at in range(0, len(fingerprint), 2))


def trust_text(authority: acme_pb2.GetCertificateAuthorityResponse, path: str, url: str) -> str:
    """How to trust the authority whose certificate is in the file `path`, on each system and in each program."""
    name = f"sealift-{authority.fingerprint_sha256[:8]}"
    lines = [
        f"authority    {clean(authority.common_name)}, until {day(authority.not_after)}",
        f"SHA-256      {fingerprint_text(authority.fingerprint_sha256)}",
        f"file         {path}",
        "",
        "Who trusts it accepts every certificate that it issues, for any name. Compare the fingerprint with what",
        "`sealift trust` says on the server.",
        "",
        f"Debian       sudo cp {path} /usr/local/share/ca-certificates/{name}.crt && sudo update-ca-certificates",
        f"Fedora       sudo cp {path} /etc/pki/ca-trust/source/anchors/{name}.pem && sudo update-ca-trust",
        f"macOS        sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {path}",
        f"Windows      certutil -addstore -f ROOT {path}     (as administrator)",
        "Chrome       uses the system's on macOS and Windows. On Linux (package libnss3-tools):",
        f"             certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n {name} -i {path}",
        "Firefox      Settings, Privacy & Security, View Certificates, Authorities, Import; trust it for websites",
        f"curl         curl --cacert {path} URL",
        f"Python       SSL_CERT_FILE={path}     (requests: REQUESTS_CA_BUNDLE)",
        f"Node         NODE_EXTRA_CA_CERTS={path}",
        f"sealift      sealift login {_https(url)} --ca-file {path}",
    ]
    return "\n".join(lines)


def _https(url: str) -> str:
    return url if url.startswith("https://") else "https://HOST"
