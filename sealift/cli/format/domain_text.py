"""Domains as text. Pure but for the clock."""

from sealift.cli.format.enum_names import short
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import clean, until
from sealift.ctrl.v1 import domain_pb2


def status_text(domain: domain_pb2.Domain) -> str:
    """E.g. "pending"; of an active one that DNS leads elsewhere "active, wrong DNS"."""
    name = short(domain_pb2.DomainStatus.Name, domain.status, "DOMAIN_STATUS_")
    return f"{name}, wrong DNS" if domain.status == domain_pb2.DOMAIN_STATUS_ACTIVE and domain.reason else name


def removal_text(domain: domain_pb2.Domain) -> str:
    """What `domains rm` does, for the question."""
    answers = f", where {domain.deployment_id} answers" if domain.deployment_id else ""
    return f"remove {clean(domain.unicode_hostname)} from {clean(domain.environment_slug)}{answers}"


def records_table(domain: domain_pb2.Domain) -> str:
    """The DNS records to set, a line for each value."""
    rows = [
        (record.type, clean(record.name), clean(value), _verdict(domain, record))
        for record in domain.records
        for value in record.wanted or ["(none may be there)" if domain.checked_at else "(the ingress's address)"]
    ]
    return render_table(("TYPE", "NAME", "VALUE", ""), rows)


def _verdict(domain: domain_pb2.Domain, record: domain_pb2.DomainRecord) -> str:
    if not domain.checked_at:
        return ""
    if record.is_right:
        return "ok"
    return f"found {', '.join(map(clean, record.found[:3]))}" if record.found else "missing"


def domain_text(domain: domain_pb2.Domain) -> str:
    """All of a domain, for `domains show`."""
    lines = [f"domain       {clean(domain.unicode_hostname)}"]
    if domain.hostname != domain.unicode_hostname:
        lines.append(f"in DNS       {clean(domain.hostname)}")
    lines += [
        f"environment  {clean(domain.environment_slug)}",
        f"status       {status_text(domain)}",
        f"url          {clean(domain.url)}",
    ]
    if domain.deployment_id:
        lines.append(f"deployment   {domain.deployment_id}")
    if domain.reason:
        lines.append(f"reason       {clean(domain.reason)}")
    lines += [f"warning      {clean(text)}" for text in domain.warnings]
    if domain.next_check_at:
        lines.append(f"next check   {until(domain.next_check_at)}")
    return "\n".join([*lines, "", records_table(domain)])
