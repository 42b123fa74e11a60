"""Promise: CAA records are read as certificate authorities read them (RFC 8659 and 8657)."""

import pytest

from pkg.domains.caa import Issuance, permits

ACCOUNT = "https://acme-v02.api.letsencrypt.org/acme/acct/1"
OURS = Issuance(("letsencrypt.org",), "http-01", ACCOUNT)


@pytest.mark.parametrize(
    ("records", "is_wildcard", "allowed"),
    [
        (["0 issue letsencrypt.org"], False, True),
        (["0 issue LetsEncrypt.org; unknown=x"], False, True),
        ([f"0 issue letsencrypt.org;accounturi={ACCOUNT} ; ValidationMethods = dns-01,http-01"], False, True),
        ([f"0 issue letsencrypt.org; accounturi={ACCOUNT}1"], False, False),
        (["0 issue letsencrypt.org; validationmethods=dns-01"], False, False),
        (["0 issue letsencrypt.org; validationmethods=dns-01", "0 issue letsencrypt.org"], False, True),
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


def test_what_is_not_known_yet_forbids_nothing() -> None:
    """The first account is made with the first order."""
    records = ["0 issue letsencrypt.org; accounturi=https://x; validationmethods=dns-01"]
    assert permits(records, Issuance(("letsencrypt.org",)), is_wildcard=False)
