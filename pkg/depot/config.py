"""The section that configures Depot."""

from typing import Literal
from urllib.parse import urlsplit

from pkg.config import Secret, Strict
from pkg.config.sections import is_loopback

HTTPS_PORT = 443
MAX_CACHE_GB = 10_000
MAX_CACHE_DAYS = 365


class DepotConfig(Strict):
    """Machines of Depot, on which the builder "depot" builds.

    Attributes:
        api_url: of Depot's API; http only on loopback.
        access_token: a token of the organisation. It makes projects and builds; images are pushed with
            registry.password.
        project_region: where the machines and caches of new projects are.
        cache_gb: size of the cache of each new project, 1 to 10000.
        cache_days: how long a new project's cache keeps what no build uses, 1 to 365.
    """

    api_url: str = "https://api.depot.dev"
    access_token: Secret
    project_region: Literal["us-east-1", "eu-central-1"] = "us-east-1"
    cache_gb: int = 50
    cache_days: int = 14

    def problems(self) -> list[str]:
        """The URL keeps the token secret, the token is not empty, the cache is within its bounds."""
        found = []
        if not _is_api_url(self.api_url):
            found.append(f"api_url: expected https://host[:port], or http on loopback, got {self.api_url!r}")
        if not self.access_token:
            found.append("access_token: is empty; make a token in the settings of the organisation at Depot")
        for key, value, most in (
            ("cache_gb", self.cache_gb, MAX_CACHE_GB),
            ("cache_days", self.cache_days, MAX_CACHE_DAYS),
        ):
            if not 1 <= value <= most:
                found.append(f"{key}: expected 1 to {most}, got {value}")
        return found

    @property
    def address(self) -> str:
        """Of the API: host:port."""
        url = urlsplit(self.api_url)
        return url.netloc if url.port else f"{url.netloc}:{HTTPS_PORT}"

    @property
    def uses_tls(self) -> bool:
        """Whether the API is called over TLS."""
        return self.api_url.startswith("https:")


def _is_api_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        is_bare = bool(url.hostname) and not (url.path.strip("/") or url.query or url.fragment or "@" in url.netloc)
        if url.scheme == "http":
            return is_bare and url.port is not None and is_loopback(url.netloc)
        return is_bare and url.scheme == "https" and (url.port or HTTPS_PORT) > 0
    except ValueError:
        return False
