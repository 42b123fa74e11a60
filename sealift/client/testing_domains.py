# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""Domains of the fake server, in memory; a test says what DNS answers."""

import time
from typing import Any

from sealift.client.testing_certificates import FakeCertificates
from sealift.client.testing_servicer import refuse
from sealift.ctrl.v1 import acme_pb2, domain_pb2, domain_pb2_grpc


class FakeDomains(FakeCertificates, domain_pb2_grpc.DomainServiceServicer):
    """DomainService. DNS is asked with each GetDomain.

    Attributes:
        domains: by hostname.
        dns_reasons: what is wrong at the next checks, one after the other; with none left, nothing is.
        is_unanswered: DNS does not answer at all.
        certificate_reasons: why the next attempts get no certificate; with none left, they do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.domains: dict[str, domain_pb2.Domain] = {}
        self.dns_reasons: list[str] = []
        self.is_unanswered = False
        self.certificate_reasons: list[str] = []

    async def AddDomain(self, request: Any, context: Any) -> Any:
        await self._enter("AddDomain", context)
        if "/" in request.hostname:
            message = f"hostname: {request.hostname!r} has a path"
            await refuse(context, "INVALID_ARGUMENT", "invalid_argument", message, field="hostname")
        domain = self.domains.get(request.hostname)
        if domain is None:
            domain = domain_pb2.Domain(
                domain_id=f"dom_{len(self.domains) + 1}",
                project_id="proj_hello",
                environment_id=request.environment_id,
                environment_slug=request.environment_id.removeprefix("env_"),
                hostname=request.hostname.encode("idna").decode(),
                unicode_hostname=request.hostname,
                status=domain_pb2.DOMAIN_STATUS_PENDING,
                url=f"https://{request.hostname}",
                created_at=int(time.time() * 1000),
            )
            domain.records.add(type="TXT", name=f"_sealift-challenge.{domain.hostname}", wanted=["sealift-domain-1"])
            domain.records.add(type="CNAME", name=domain.hostname, wanted=["hello.apps.example"])
            self.domains[request.hostname] = domain
        return domain_pb2.AddDomainResponse(domain=domain)

    async def ListDomains(self, request: Any, context: Any) -> Any:
        await self._enter("ListDomains", context)
        names = sorted(self.domains)
        at = int(request.page_token or 0)  # one per page, to test paging
        more = str(at + 1) if at + 1 < len(names) else ""
        page = [self.domains[name] for name in names[at : at + 1]]
        only = request.environment_id
        return domain_pb2.ListDomainsResponse(
            domains=[one for one in page if not only or one.environment_id == only], next_page_token=more
        )

    async def GetDomain(self, request: Any, context: Any) -> Any:
        await self._enter("GetDomain", context)
        domain = await self._find(context, request.domain_id, request.hostname)
        if not self.is_unanswered:
            self._check(domain)
        return domain_pb2.GetDomainResponse(domain=domain)

    async def VerifyDomain(self, request: Any, context: Any) -> Any:
        await self._enter("VerifyDomain", context)
        return domain_pb2.VerifyDomainResponse(domain=await self._find(context, request.domain_id))

    async def RemoveDomain(self, request: Any, context: Any) -> Any:
        await self._enter("RemoveDomain", context)
        domain = await self._find(context, request.domain_id)
        del self.domains[domain.unicode_hostname]
        return domain_pb2.RemoveDomainResponse()

    def _check(self, domain: domain_pb2.Domain) -> None:
        domain.checked_at += 1
        domain.reason = self.dns_reasons.pop(0) if self.dns_reasons else ""
        for record in domain.records:
            record.is_right = not domain.reason
        if not domain.reason:
            domain.status = domain_pb2.DOMAIN_STATUS_ACTIVE
            domain.deployment_id = "dep_1"
            self._issue(domain.hostname)

    def _issue(self, hostname: str) -> None:
        made = self.certificates.setdefault(hostname, acme_pb2.ManagedCertificate(name=hostname, names=[hostname]))
        made.error_message = self.certificate_reasons.pop(0) if self.certificate_reasons else ""
        if not made.error_message:
            made.state = acme_pb2.CERTIFICATE_STATE_VALID
            made.certificate_id = "cert_1"

    async def GetCertificateStatus(self, request: Any, context: Any) -> Any:
        found = await super().GetCertificateStatus(request, context)
        if request.name in (domain.hostname for domain in self.domains.values()):
            self._issue(request.name)
        return found

    async def _find(self, context: Any, domain_id: str, hostname: str = "") -> domain_pb2.Domain:
        for domain in self.domains.values():
            if domain.domain_id == domain_id or hostname in (domain.hostname, domain.unicode_hostname):
                return domain
        await refuse(context, "NOT_FOUND", "domain.not_found", "there is no such domain")
        raise AssertionError
