"""The servicer of AcmeService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from sqlalchemy import Connection

from pkg.acme.failure import AcmeProblem
from pkg.certificates import orders, queries
from pkg.certificates.model import Issuer, ManagedCertificate
from pkg.errors import FailedPrecondition, InvalidArgument, NotFound
from pkg.observability.logging import fields
from sealift.ctrl.v1 import acme_pb2 as pb
from svc.api.certificates.names import notices, wants
from svc.api.certificates.sweep import ensure_authority
from svc.api.deps import ApiDeps
from svc.api.requests import paging
from svc.api.requests.checks import check_no_nul
from svc.api.requests.checks import shown as shown_text
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call
from svc.api.services.certificates.status import Shown, find, ordered_names, render, render_order, shown

MAX_NAME_CHARS = 253
SHOWN_ORDERS = 10
# An authority counts orders; a person who presses a key again should not use them up. Certificates of the installation
# are everybody's: nobody replaces them without a pause.
RETRY_EVERY_MS = 60_000

log = logging.getLogger(__name__)


class AcmeServicer:
    """Certificates of the caller's workspace and of the installation."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def ListCertificates(self, request: pb.ListCertificatesRequest, call: Call) -> pb.ListCertificatesResponse:
        """By name."""
        size, after = paging.page_size(request.page_size), paging.after(request.page_token)
        now, config = self._deps.clock(), self._deps.config

        def load(connection: Connection) -> tuple[list[Shown], str, tuple[str, ...]]:
            rows = [
                row
                for row in queries.managed(connection)
                if row.workspace_id in (None, call.workspace_id) and row.name > after
            ]
            page, token = paging.cut(rows[: size + 1], size, lambda row: row.name)
            ordered = ordered_names(connection)
            return (
                [shown(connection, row, ordered, now) for row in page],
                token,
                notices(connection, config.tls, config.ingress, call.workspace_id),
            )

        found, token, why_not = await self._deps.db.read(load)
        return pb.ListCertificatesResponse(
            certificates=[render(one, now) for one in found], next_page_token=token, notices=why_not
        )

    async def GetCertificateStatus(
        self, request: pb.GetCertificateStatusRequest, call: Call
    ) -> pb.GetCertificateStatusResponse:
        """NotFound `certificate.not_found` when nothing covers the name."""
        name, now = _name_of(request.name), self._deps.clock()

        def load(connection: Connection) -> pb.GetCertificateStatusResponse:
            managed = _managed(connection, name, call)
            one = shown(connection, managed, ordered_names(connection), now)
            last = orders.latest_of(connection, managed.name, SHOWN_ORDERS)
            return pb.GetCertificateStatusResponse(
                certificate=render(one, now), orders=[render_order(order) for order in last]
            )

        return await self._deps.db.read(load)

    async def RetryCertificate(self, request: pb.RetryCertificateRequest, call: Call) -> pb.RetryCertificateResponse:
        """Makes the name due now; the sweep orders it with its next pass."""
        name, now = _name_of(request.name), self._deps.clock()

        def retry(connection: Connection) -> Change[Shown]:
            managed, ordered = _managed(connection, name, call), ordered_names(connection)
            if managed.name in ordered:
                return Change(shown(connection, managed, ordered, now), {})
            self._check_retry(connection, managed, now)
            queries.change_managed(connection, managed.name, now, due_at=now, failed_at=None)
            is_now = _managed(connection, name, call)
            return Change(shown(connection, is_now, ordered, now), {"name": managed.name})

        one = await mutate(self._deps, call, retry)
        log.info("certificate is ordered by hand", extra=fields(certificate=one.managed.name))
        return pb.RetryCertificateResponse(certificate=render(one, now))

    def _check_retry(self, connection: Connection, managed: ManagedCertificate, now: int) -> None:
        if managed.issuer is not Issuer.ACME:
            made = queries.certificate(connection, managed.certificate_id or "")
            if made is not None and 0 <= now - made.created_at < RETRY_EVERY_MS:
                raise FailedPrecondition(
                    "certificate.too_soon",
                    f"The certificate of {managed.name} was issued less than a minute ago, and every region has each "
                    "one: wait a minute.",
                    field="name",
                )
            return
        account = orders.account(connection, self._deps.config.tls.directory)
        is_limited = managed.error_code == AcmeProblem.RATE_LIMITED and managed.failed_at is not None
        until = max(managed.due_at if is_limited else 0, 0 if account is None else account.paused_until)
        if until > now:
            raise FailedPrecondition(
                "certificate.rate_limited",
                f"The certificate authority asked to wait until {_time(until)}; it is tried again by itself then.",
                field="name",
            )
        last = next(iter(orders.latest_of(connection, managed.name, 1)), None)
        if last is not None and now - last.created_at < RETRY_EVERY_MS:
            raise FailedPrecondition(
                "certificate.too_soon",
                f"The last order for {managed.name} was made less than a minute ago, and authorities count orders: "
                "wait a minute.",
                field="name",
            )

    async def GetCertificateAuthority(
        self, request: pb.GetCertificateAuthorityRequest, call: Call
    ) -> pb.GetCertificateAuthorityResponse:
        """Empty when everything is by ACME. Made here if it is about to be used for the first time."""
        del request, call
        config, now = self._deps.config, self._deps.clock()

        def is_used(connection: Connection) -> bool:
            found = wants(connection, config.tls, config.ingress).certificates
            return any(one.issuer is Issuer.LOCAL for one in found)

        if not await self._deps.db.read(is_used):
            return pb.GetCertificateAuthorityResponse()
        found = await self._deps.db.read(queries.authority)
        if found is None:
            found = await self._deps.db.write(ensure_authority, self._deps.vault, now)
        certificate = x509.load_pem_x509_certificate(found.certificate_pem.encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return pb.GetCertificateAuthorityResponse(
            certificate_pem=found.certificate_pem,
            fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
            common_name=str(names[0].value),
            not_after=found.not_after,
        )


def _name_of(text: str) -> str:
    """A hostname in lower case; there is none with other characters."""
    if not 1 <= len(text) <= MAX_NAME_CHARS:
        raise InvalidArgument("name", f"must have 1 to {MAX_NAME_CHARS} characters")
    return check_no_nul("name", text).lower().removesuffix(".")


def _managed(connection: Connection, name: str, call: Call) -> ManagedCertificate:
    found = find(connection, name, call.workspace_id)
    if found is None:
        raise NotFound(
            "certificate.not_found",
            f"No certificate is for {shown_text(name)}. Names get one once they are routed, or their domain is active; "
            "`sealift certificates` lists those that have one, and says which can't.",
            field="name",
        )
    return found


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
