"""Promise: CAA records are read as certificate authorities read them (RFC 8659)."""

import pytest

from pkg.domains.caa import permits

OURS = ("letsencrypt.org",)


@pytest.mark.parametrize(
    ("records", "is_wildcard", "allowed"),
    [
        (["0 issue letsencrypt.org"], False, True),
        (["0 issue LetsEncrypt.org; accounturi=x"], False, True),
        (["0 ISSUE letsencrypt.org"], False, True),
        (["0 issue other.example"], False, False),
        (["0 issue ;"], False, False),
        (["0 iodef mailto:security@example.com"], False, True),
        (["0 issuewild letsencrypt.org"], False, True),
        (["0 issue letsencrypt.org", "0 issuewild ;"], True, False),
        (["0 issue letsencrypt.org", "0 issuewild ;"], False, True),
        (["0 issue letsencrypt.org"], True, True),
        (["128 tbs unknown", "0 issue letsencrypt.org"], False, False),
        (["0 tbs unknown"], False, True),
    ],
)
def test_who_may_issue(records: list[str], is_wildcard: bool, allowed: bool) -> None:
    assert permits(records, OURS, is_wildcard=is_wildcard) is allowed
