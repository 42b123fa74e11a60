"""The keys of an S3 store."""

import re
from typing import Literal

from pkg.config import Secret
from pkg.config.sections import stays_here_problems, url_parts
from pkg.storage.settings import StorageSettings

_AWS_WITHOUT_REGION, _AWS_FIRST_REGION = "s3.amazonaws.com", "us-east-1"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class S3Settings(StorageSettings):
    """A bucket of an S3 server. api and worker have the same section.

    Attributes:
        backend: "s3": in a bucket of an S3 server.
        url: of the S3 server as api and worker reach it, e.g. "http://127.0.0.1:9000".
        external_url: of the same server as clients and builders on other machines reach it, e.g.
            "https://s3.example.com"; upload URLs begin with it. Required, and not a loopback address, where there are
            any.
        region: that requests are signed for; "auto" for servers that have one region.
        bucket: made at the start if it does not exist; for one installation alone.
        access_key_id: of an account that may read, write, list and delete in the bucket.
        access_key_secret: of that account.
        api_url: where the api's HTTP port is for builders, e.g. "http://127.0.0.1:7401"; the worker needs it for
            backend "docker" of [build]: the api then passes contexts on without the ETags that S3 sends, which
            BuildKit below 0.18 confuses.
    """

    backend: Literal["s3"] = "s3"
    url: str
    external_url: str = ""
    region: str = "auto"
    bucket: str
    access_key_id: str
    access_key_secret: Secret
    api_url: str = ""

    def problems(self) -> list[str]:
        """URLs are endpoints, and the bucket has a name that every server takes."""
        found = super().problems()
        for key in ("url", "external_url", "api_url"):
            if value := getattr(self, key):
                found += _endpoint_problems(key, value)
        if not _BUCKET.fullmatch(self.bucket):
            found.append(f"bucket: expected 3 to 63 of a-z, 0-9, . and -, got {self.bucket!r}")
        if self.region != "auto" and (wrong := self.region_problem(self.region)):
            found.append(wrong)
        found += [f"{key}: must not be empty" for key in ("url", "region", "access_key_id") if not getattr(self, key)]
        if not self.access_key_secret:
            found.append("access_key_secret: must not be empty")
        return found

    def region_problem(self, region: str) -> str:
        """What is wrong with an endpoint of AWS that names no region for a bucket in this one; "" if nothing is."""
        for key in ("url", "external_url"):
            value = getattr(self, key)
            parts = url_parts(value)
            if parts is not None and parts.hostname == _AWS_WITHOUT_REGION and region != _AWS_FIRST_REGION:
                return (
                    f"{key}: {value!r} names no region: AWS sends uploads to new buckets from there to another address,"
                    f' for which the upload URL is not signed; write "https://s3.{region}.amazonaws.com"'
                )
        return ""

    def problems_in_use(
        self, *, is_api: bool = False, who_is_elsewhere: str = "", needs_no_etag: bool = False
    ) -> list[str]:
        """See `StorageSettings.problems_in_use`."""
        found = stays_here_problems("external_url", self.external_url, who_is_elsewhere)
        if who_is_elsewhere and not self.external_url:
            found.append(f"external_url: is required, as {who_is_elsewhere}")
        if needs_no_etag and not is_api and not self.api_url:
            found.append(
                "api_url: is required with this builder: the URL of the api's HTTP port, which passes contexts on"
                " without the ETags of S3"
            )
        return found


def _endpoint_problems(key: str, value: str) -> list[str]:
    parts = url_parts(value)
    is_endpoint = parts is not None and parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if parts is not None and is_endpoint and parts.path in ("", "/") and not parts.query and not parts.fragment:
        return []
    return [f"{key}: expected http:// or https:// and a host, without a path, a bucket or a key, got {value!r}"]
