"""The access key in a call's metadata."""

from collections.abc import Mapping

from pkg.errors import Unauthenticated

HOW_TO_SET = "log in with `sealift login URL`, or set SEALIFT_API_KEY to an access key of this server"


def bearer_key(metadata: Mapping[str, str]) -> str:
    """The key of `authorization: Bearer slk_…`. Raises Unauthenticated `auth.key_missing`."""
    scheme, _, key = metadata.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("auth.key_missing", f"No access key was sent: {HOW_TO_SET}.")
    return key.strip()
