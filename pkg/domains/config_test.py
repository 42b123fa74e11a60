"""Promise: addresses of resolvers and of the ingress are checked at the start, all of them at once."""

import pytest

from pkg.domains.config import Domains, parse_resolver


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("[::1]:5353", ("::1", 5353)),
    ],
)
def test_forms_of_a_resolver(text: str, parsed: tuple[str, int]) -> None:
    assert parse_resolver(text) == parsed
    assert Domains(resolvers=(text,)).problems() == []


def test_all_problems_are_named() -> None:
    wrong = Domains(resolvers=("dns.example", "1.1.1.1:0", "1.1.1.1:x", *["9.9.9.9"] * 4), addresses=("here",))
    found = wrong.problems()
    assert [line.partition(":")[0] for line in found] == ["resolvers"] * 4 + ["addresses"]
