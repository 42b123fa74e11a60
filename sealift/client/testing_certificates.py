# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""Certificates of the fake server, in memory."""

import time
from typing import Any

from sealift.client.testing_servicer import FakeServicer, refuse
from sealift.ctrl.v1 import acme_pb2, acme_pb2_grpc

# One that was made for this: its key is gone.
AUTHORITY_PEM = """-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUBi0OYfb1VqJ7tWqRmV2sZ3yQZJkwCgYIKoZIzj0EAwIw
-----END CERTIFICATE-----
"""


class FakeCertificates(FakeServicer, acme_pb2_grpc.AcmeServiceServicer):
    """AcmeService.

    Attributes:
        certificates: by name.
        orders: of the certificates, by name, the newest first.
        notices: which names have none.
        authority: what GetCertificateAuthority answers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.certificates: dict[str, acme_pb2.ManagedCertificate] = {}
        self.orders: dict[str, list[acme_pb2.CertificateOrder]] = {}
        self.notices: list[str] = []
        self.authority = acme_pb2.GetCertificateAuthorityResponse(
            certificate_pem=AUTHORITY_PEM,
            fingerprint_sha256="ab" * 32,
            common_name="Sealift local CA 0123456789ab",
            not_after=2_000_000_000_000,
        )

    async def ListCertificates(self, request: Any, context: Any) -> Any:
        await self._enter("ListCertificates", context)
        names = sorted(self.certificates)
        at = int(request.page_token or 0)  # one per page, to test paging
        more = str(at + 1) if at + 1 < len(names) else ""
        page = [self.certificates[name] for name in names[at : at + 1]]
        return acme_pb2.ListCertificatesResponse(certificates=page, next_page_token=more, notices=self.notices)

    async def GetCertificateStatus(self, request: Any, context: Any) -> Any:
        await self._enter("GetCertificateStatus", context)
        found = await self._certificate(request.name, context)
        return acme_pb2.GetCertificateStatusResponse(certificate=found, orders=self.orders.get(request.name, []))

    async def RetryCertificate(self, request: Any, context: Any) -> Any:
        await self._enter("RetryCertificate", context)
        found = await self._certificate(request.name, context)
        found.next_order_at = int(time.time() * 1000)
        return acme_pb2.RetryCertificateResponse(certificate=found)

    async def GetCertificateAuthority(self, request: Any, context: Any) -> Any:
        await self._enter("GetCertificateAuthority", context)
        return self.authority

    async def _certificate(self, name: str, context: Any) -> acme_pb2.ManagedCertificate:
        found = self.certificates.get(name)
        if found is None:
            message = f"No certificate is for {name}."
            await refuse(context, "NOT_FOUND", "certificate.not_found", message, field="name")
        assert found is not None
        return found
