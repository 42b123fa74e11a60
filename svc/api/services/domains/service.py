"""The servicer of DomainService."""

# ruff: noqa: N802 - methods are named as the protos name them

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy import Connection

from pkg.certificates.config import Tls
from pkg.deletions.gates import check_not_deleting
from pkg.desired.capabilities import ROUTE_FIELDS
from pkg.domains import queries
from pkg.domains.model import Domain, DomainStatus
from pkg.domains.names import DomainName, parse_domain
from pkg.domains.rules import check_counts, check_name, token_of
from pkg.environments import queries as environments
from pkg.environments.model import Environment
from pkg.errors import AlreadyExists, InvalidArgument, NotFound
from pkg.observability.logging import fields
from pkg.regions import capabilities
from pkg.routes import domains as domain_routes
from pkg.secrets import KeyPurpose
from sealift.ctrl.v1 import domain_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.domains.checker import installation_names
from svc.api.requests import lookup, paging
from svc.api.requests.checks import check_id
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call
from svc.api.services.domains.render import View, render, view, views

HOLDER_CHECK_EVERY_MS = 60_000

log = logging.getLogger(__name__)


class DomainServicer:
    """Domains of the caller's workspace."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._token_key = deps.vault.derived_key(KeyPurpose.DOMAIN_TOKENS)

    async def AddDomain(self, request: pb.AddDomainRequest, call: Call) -> pb.AddDomainResponse:
        """Pending until DNS says that it is the workspace's, and that requests come here."""
        check_id("environment_id", "env", request.environment_id)
        name = await asyncio.to_thread(parse_domain, request.hostname)
        ingress = self._deps.config.ingress
        check_name(
            name,
            installation_names(ingress),
            wildcard_refusal=_wildcard_refusal(self._deps.config.tls, name),
        )

        def add(connection: Connection) -> Change[View]:
            environment = lookup.environment(connection, call.workspace_id, request.environment_id)
            check_not_deleting(connection, environment.deletion_id)
            known = queries.by_hostname(connection, call.workspace_id, name.hostname)
            if known is not None and known.environment_id == environment.id and known.status is not DomainStatus.LOST:
                return Change(view(connection, known, ingress), {})
            added = self._add(connection, environment, name, known)
            return Change(view(connection, added, ingress), _targets(added))

        try:
            added = await mutate(self._deps, call, add)
        except AlreadyExists:
            await self._check_holders(call.workspace_id, name)
            raise
        log.info("domain added", extra=fields(domain_id=added.domain.id, hostname=name.hostname))
        return pb.AddDomainResponse(domain=render(added, ingress))

    def _add(self, connection: Connection, environment: Environment, name: DomainName, known: Domain | None) -> Domain:
        """Raises AlreadyExists `domain.taken` for a name that is taken, here or elsewhere."""
        if known is not None and known.status is not DomainStatus.LOST:
            place = environments.get(connection, known.environment_id)
            where = "another environment" if place is None else f"environment {place.slug} ({place.id})"
            raise AlreadyExists(
                "domain.taken",
                f"{name.hostname} is a domain of {where} of this workspace: remove it there first "
                f"(`sealift domains rm {name.hostname}` with its project and environment).",
                field="hostname",
                metadata={"domain_id": known.id},
            )
        self._check_elsewhere(connection, environment.workspace_id, name)
        if name.is_wildcard:
            capabilities.check(connection, [ROUTE_FIELDS["hostname.wildcard"]])
        if known is not None:
            queries.remove(connection, known.id)
        check_counts(
            queries.counts(
                connection,
                workspace_id=environment.workspace_id,
                project_id=environment.project_id,
                environment_id=environment.id,
            )
        )
        return queries.add(
            connection,
            workspace_id=environment.workspace_id,
            project_id=environment.project_id,
            environment_id=environment.id,
            name=name,
            token=token_of(self._token_key, environment.workspace_id, name),
            now=self._deps.clock(),
        )

    async def _check_holders(self, workspace_id: str, name: DomainName) -> None:
        """Has DNS asked whether the other workspace still proves the name, so that the next call can be granted."""
        now = self._deps.clock()

        def hasten(connection: Connection) -> None:
            held = [one.id for one in queries.held_elsewhere(connection, workspace_id, name)]
            queries.hasten_checks(connection, held, now, unless_checked_since=now - HOLDER_CHECK_EVERY_MS)

        await self._deps.db.write(hasten)

    def _check_elsewhere(self, connection: Connection, workspace_id: str, name: DomainName) -> None:
        """A name that another workspace holds can be claimed once that one's TXT record is gone."""
        for held in queries.held_elsewhere(connection, workspace_id, name):
            if held.hostname != name.hostname:
                raise AlreadyExists(
                    "domain.taken",
                    # Which one is not said: nothing is proven yet, and anybody may ask about any name.
                    f"{name.hostname} is taken: another workspace holds a name that it would share requests with, a "
                    "wildcard above it or a name below it. Whoever controls the zone can take that name over instead.",
                    field="hostname",
                )
            if held.is_owned:
                raise AlreadyExists(
                    "domain.taken",
                    f"{name.hostname} was verified in another workspace, whose TXT record is still in the zone. If the "
                    "zone is yours, remove that record and try again in some minutes: each attempt has DNS asked.",
                    field="hostname",
                )

    async def ListDomains(self, request: pb.ListDomainsRequest, call: Call) -> pb.ListDomainsResponse:
        """By hostname."""
        check_id("project_id", "proj", request.project_id)
        if request.HasField("environment_id"):
            check_id("environment_id", "env", request.environment_id)
        size, after = paging.page_size(request.page_size), paging.after(request.page_token)
        ingress = self._deps.config.ingress

        def load(connection: Connection) -> list[View]:
            found = queries.page(
                connection,
                lookup.project(connection, call.workspace_id, request.project_id).id,
                environment_id=request.environment_id if request.HasField("environment_id") else None,
                after_hostname=after,
                limit=size + 1,
            )
            return views(connection, found, ingress)

        page, token = paging.cut(await self._deps.db.read(load), size, lambda one: one.domain.hostname)
        return pb.ListDomainsResponse(domains=[render(one, ingress) for one in page], next_page_token=token)

    async def GetDomain(self, request: pb.GetDomainRequest, call: Call) -> pb.GetDomainResponse:
        """By id, or by hostname."""
        find: Callable[[Connection], Domain]
        match request.WhichOneof("ref"):
            case "domain_id":
                check_id("domain_id", "dom", request.domain_id)

                def find(connection: Connection) -> Domain:
                    return _domain(connection, call.workspace_id, request.domain_id)

            case "hostname":
                name = await asyncio.to_thread(parse_domain, request.hostname)

                def find(connection: Connection) -> Domain:
                    found = queries.by_hostname(connection, call.workspace_id, name.hostname)
                    if found is None:
                        raise _not_found(name.hostname, "hostname")
                    return found

            case _:
                raise InvalidArgument("ref", "is required: give domain_id or hostname")
        ingress = self._deps.config.ingress
        found = await self._deps.db.read(lambda connection: view(connection, find(connection), ingress))
        return pb.GetDomainResponse(domain=render(found, ingress))

    async def VerifyDomain(self, request: pb.VerifyDomainRequest, call: Call) -> pb.VerifyDomainResponse:
        """The check is due at once, and again after short pauses."""
        check_id("domain_id", "dom", request.domain_id)
        ingress = self._deps.config.ingress

        def request_check(connection: Connection) -> Change[View]:
            domain = _domain(connection, call.workspace_id, request.domain_id)
            environment = environments.get(connection, domain.environment_id)
            check_not_deleting(connection, environment.deletion_id if environment else None)
            if domain.status is DomainStatus.LOST:
                self._check_elsewhere(connection, call.workspace_id, domain.name)
            queries.request_check(connection, domain.id, self._deps.clock())
            found = _domain(connection, call.workspace_id, domain.id)
            return Change(view(connection, found, ingress), _targets(found))

        found = await mutate(self._deps, call, request_check)
        return pb.VerifyDomainResponse(domain=render(found, ingress))

    async def RemoveDomain(self, request: pb.RemoveDomainRequest, call: Call) -> pb.RemoveDomainResponse:
        """Its route goes with it, in the same transaction."""
        check_id("domain_id", "dom", request.domain_id)

        def remove(connection: Connection) -> Change[Domain]:
            domain = _domain(connection, call.workspace_id, request.domain_id)
            domain_routes.remove(connection, domain, self._deps.clock())
            return Change(domain, _targets(domain))

        removed = await mutate(self._deps, call, remove)
        log.info("domain removed", extra=fields(domain_id=removed.id, hostname=removed.hostname))
        return pb.RemoveDomainResponse()


def _wildcard_refusal(tls: Tls, name: DomainName) -> str:
    """Why no certificate for the name's wildcard can be had, for people; "" when it can."""
    if not (tls.enabled and tls.uses_acme):
        return ""
    if tls.dns is None:
        return "the certificate authority proves wildcards by DNS-01, and the operator has set no [tls.dns]"
    if not tls.dns.covers(name.hostname):
        return f"the certificate authority proves wildcards by DNS-01, and [tls.dns] changes only zone {tls.dns.zone}"
    return ""


def _domain(connection: Connection, workspace_id: str, domain_id: str) -> Domain:
    found = queries.get(connection, domain_id, workspace_id=workspace_id)
    if found is None:
        raise _not_found(domain_id, "domain_id")
    return found


def _not_found(what: str, field: str) -> NotFound:
    return NotFound(
        "domain.not_found", f"There is no domain {what}: `sealift domains` lists those of a project.", field=field
    )


def _targets(domain: Domain) -> dict[str, str]:
    return {"domain_id": domain.id, "project_id": domain.project_id, "environment_id": domain.environment_id}
