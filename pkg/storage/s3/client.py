"""boto3 clients with our limits: attempts, timeouts, addressing, and no checksums that other servers don't know."""

import functools
import logging
import re
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from pkg.storage.s3.settings import S3Settings

THREADS = 8
ATTEMPTS = 3
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 30
_SCOPE = re.compile(r"/[0-9]{8}/([^/]+)/s3/aws4_request")

# At debug level it logs headers and presigned URLs.
for _name in ("boto3", "botocore", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def make_client(
    config: S3Settings, url: str, region: str, *, attempts: int = ATTEMPTS, read_timeout_s: float = READ_TIMEOUT_S
) -> Any:
    """A client of the server at `url`; makes no request. It may be used by several threads.

    Args:
        config: names the account.
        url: the endpoint that it asks, and that its presigned URLs begin with.
        region: that it signs for.
        attempts: of each request in all.
        read_timeout_s: without a byte of the answer.
    """
    return _session().client(
        "s3",
        endpoint_url=url.rstrip("/"),
        region_name=region,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.access_key_secret.reveal(),
        config=Config(
            signature_version="s3v4",
            # AWS wants the bucket in the host name; everybody else takes it in the path, without a DNS name for it
            s3={"addressing_style": "virtual" if _is_aws(url) else "path", "payload_signing_enabled": True},
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=read_timeout_s,
            max_pool_connections=2 * THREADS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class RegionOfRequests:
    """For which region a client signed its last request.

    When a server names another region, boto3 signs again and goes on; URLs that it presigns stay wrong.
    """

    def __init__(self, client: Any) -> None:
        """Watches `client` from now on."""
        self.region = ""
        client.meta.events.register("before-send.s3", self._note)

    def _note(self, request: Any, **_: Any) -> None:
        authorization = request.headers.get("Authorization", "")
        text = authorization.decode() if isinstance(authorization, bytes) else str(authorization)
        found = _SCOPE.search(text)
        if found:
            self.region = found[1]


@functools.cache
def _session() -> Any:
    """One for all clients: each session reads boto3's description of S3 again, which takes 0.2 s."""
    return boto3.session.Session()


def _is_aws(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
