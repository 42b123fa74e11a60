"""The keys that all stores have. Nothing here loads a store: the supervisor reads these keys and passes them on."""

from pkg.config import Strict

MIN_TTL_S = 60
MAX_TTL_S = 7 * 24 * 3600  # the most that S3 signs


class StorageSettings(Strict):
    """Base of the keys that configure a store. The key `backend` of each section names its store.

    Attributes:
        upload_url_ttl_s: how long clients may use an upload URL; 60 to 604800 (7 days).
        build_context_url_ttl_s: how long a builder may use the URL of a build context, from when it is ready to build;
            60 to 604800.
    """

    upload_url_ttl_s: int = 900
    build_context_url_ttl_s: int = 900

    def problems(self) -> list[str]:
        """Each duration is in its range."""
        return [
            f"{key}: expected {MIN_TTL_S} to {MAX_TTL_S}, got {value}"
            for key in ("upload_url_ttl_s", "build_context_url_ttl_s")
            if not MIN_TTL_S <= (value := getattr(self, key)) <= MAX_TTL_S
        ]

    def problems_in_use(
        self, *, is_api: bool = False, who_is_elsewhere: str = "", needs_no_etag: bool = False
    ) -> list[str]:
        """What keys are wrong or missing for the process that reads this section; one line each.

        Args:
            is_api: it is the api, which serves `routes`.
            who_is_elsewhere: who uses URLs of the store on another machine, e.g. "clients on other machines upload to
                it"; "" for nobody.
            needs_no_etag: the builder must see no ETag.
        """
        del is_api, who_is_elsewhere, needs_no_etag
        return []
