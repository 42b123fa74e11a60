"""Waits until a domain is active and its certificate served, and says what it waits for."""

import asyncio
import json
import time

import click

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.domain_text import records_table
from sealift.cli.format.message_json import message_to_dict
from sealift.cli.format.text import clean, prose
from sealift.cli.result import RESULT
from sealift.client.client import Client
from sealift.client.errors import NotFoundError
from sealift.ctrl.v1 import acme_pb2, domain_pb2

FIRST_CHECK_S = 15.0  # DNS that answers is asked within a second; that which does not, within these
FIRST_POLL_S = 0.3
POLL_S = 2.0
NO_CERTIFICATE_AFTER_S = 10.0  # the server notices within a second that a name wants one


async def wait_until_active(
    client: Client, domain: domain_pb2.Domain, wait_timeout_s: float, *, after: int = 0, as_json: bool
) -> int:
    """Print the records to set once DNS was asked, then wait until the domain answers; return the exit code.

    It answers when it is active and its certificate is served, if it gets one.

    Args:
        client: for asking.
        domain: as the server answered.
        wait_timeout_s: 0: do not wait for more than the check.
        after: epoch ms; a check that ended later counts.
        as_json: print the domain as JSON, once, at the end.
    """
    domain = await _first_check(client, domain, after)
    name = clean(domain.unicode_hostname)
    if not as_json and domain.status != domain_pb2.DOMAIN_STATUS_ACTIVE:
        click.echo(records_table(domain))
    try:
        async with asyncio.timeout(wait_timeout_s or None):
            if wait_timeout_s:
                domain = await _follow(client, domain)
                if domain.status == domain_pb2.DOMAIN_STATUS_ACTIVE:
                    await _await_certificate(client, domain)
    except TimeoutError:
        message = f"{name} is not active after {wait_timeout_s:.0f} s; the server goes on asking DNS: {_reason(domain)}"
        if domain.status == domain_pb2.DOMAIN_STATUS_ACTIVE:
            message = f"{name} is active, and has no certificate after {wait_timeout_s:.0f} s; the server tries again"
        click.echo(prose(message), err=True)
        RESULT.fail(ExitCode.NOT_HEALTHY, code="deadline_exceeded", message=message)
        return ExitCode.NOT_HEALTHY
    except asyncio.CancelledError:
        click.echo(
            f"interrupted; the server goes on asking DNS, see: sealift domains show {clean(domain.hostname)}", err=True
        )
        raise
    is_active = domain.status == domain_pb2.DOMAIN_STATUS_ACTIVE
    for text in (domain.reason, *domain.warnings):
        if text:
            click.echo(prose(clean(text)), err=True)
    if as_json:
        click.echo(json.dumps(message_to_dict(domain), ensure_ascii=False))
    elif is_active:
        where = domain.deployment_id or "what is deployed next"
        click.echo(f"{name} is active and leads to {where}", err=True)
        click.echo(clean(domain.url))
    return ExitCode.OK if is_active or not wait_timeout_s else ExitCode.FAILED


async def _first_check(client: Client, domain: domain_pb2.Domain, after: int) -> domain_pb2.Domain:
    """The domain once it was checked, or as it is when DNS takes too long."""
    deadline = time.monotonic() + FIRST_CHECK_S
    while domain.checked_at <= after and time.monotonic() < deadline:
        await asyncio.sleep(FIRST_POLL_S)
        domain = await client.domain(domain.domain_id)
    return domain


async def _follow(client: Client, domain: domain_pb2.Domain) -> domain_pb2.Domain:
    """Polls until it is no longer pending; each other reason is told."""
    told = ""
    while domain.status == domain_pb2.DOMAIN_STATUS_PENDING:
        if (reason := _reason(domain)) != told:
            click.echo(prose(f"waiting: {reason}"), err=True)
            told = reason
        await asyncio.sleep(POLL_S)
        domain = await client.domain(domain.domain_id)
    return domain


async def _await_certificate(client: Client, domain: domain_pb2.Domain) -> None:
    """Until its certificate is served in every region; what keeps it from that is told."""
    told, deadline = "", time.monotonic() + NO_CERTIFICATE_AFTER_S
    while True:
        reason = ""
        try:
            found = (await client.certificate(domain.hostname)).certificate
        except NotFoundError:
            if time.monotonic() > deadline:
                click.echo("no certificate is issued for it, see: sealift certificates", err=True)
                return
        else:
            if found.state == acme_pb2.CERTIFICATE_STATE_VALID and not found.pending_regions:
                return
            pending = ", ".join(map(clean, found.pending_regions)) if found.certificate_id else ""
            regions = f"not served yet in {pending}" if pending else ""
            reason = clean(found.error_message) or regions or "its certificate is ordered"
        if reason and reason != told:
            click.echo(prose(f"waiting: {reason}"), err=True)
            told = reason
        await asyncio.sleep(FIRST_POLL_S if time.monotonic() < deadline else POLL_S)


def _reason(domain: domain_pb2.Domain) -> str:
    return clean(domain.reason) or "DNS was not asked yet"
