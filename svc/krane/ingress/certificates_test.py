"""Which certificate a name gets."""

from hypothesis import given
from hypothesis import strategies as st

from svc.krane.ingress.certificates import Certificates
from svc.krane.ingress.messages import SECRET, message_class
from svc.krane.ingress.port import Certificate

NAMES = ["a.x", "b.x", "*.x", "c.b.x", "*.b.x", "y"]


def made(number: int, names: tuple[str, ...], not_after: int, content: bytes = b"chain") -> Certificate:
    return Certificate(f"crt_{number}", names, content, b"key", not_after)


many = st.lists(
    st.tuples(st.lists(st.sampled_from(NAMES), min_size=1, unique=True), st.integers(0, 5)), max_size=6
).map(lambda found: {f"crt_{n}": made(n, tuple(names), end) for n, (names, end) in enumerate(found)})


def best(certificates: dict[str, Certificate], name: str, refused: set[str]) -> str | None:
    """The rule, spelt out."""
    for wanted in (name, "*." + name.partition(".")[2]):
        fitting = [c for c in certificates.values() if wanted in c.names and c.certificate_id not in refused]
        if fitting:
            return max(fitting, key=lambda one: (one.not_after, one.certificate_id)).certificate_id
    return None


@given(st.lists(many, min_size=1, max_size=4), st.sets(st.sampled_from([f"crt_{n}" for n in range(6)])))
def test_the_best_one_is_found_whatever_came_before(steps: list[dict[str, Certificate]], refused: set[str]) -> None:
    """An exact name, then a wildcard; of several the one that expires last; none that Envoy refuses."""
    store = Certificates()
    for step in steps:
        store.set(step)
    for certificate_id in refused:
        store.refuse(certificate_id, "no")
    for name in (*(n for n in NAMES if "*" not in n), "z.x", "d.b.x", "q"):
        found = store.find(name)
        assert (found.certificate_id if found else None) == best(steps[-1], name, refused)
        assert store.covers(name) is (found is not None)
        assert store.find(name.upper() + ".") == found


def test_a_secret_has_the_name_that_was_asked_for() -> None:
    """One content for all names, in Envoy's own form; another version for another content."""
    store = Certificates()
    assert store.set({"crt_1": made(1, ("*.x",), 1)})
    assert not store.set({"crt_1": made(1, ("*.x",), 1)})
    one, two = store.find("a.x"), store.find("b.x")
    assert one is not None
    assert one is two
    told = message_class(SECRET).FromString(one.named("A.x"))
    assert (told.name, told.tls_certificate.certificate_chain.inline_bytes) == ("A.x", b"chain")
    assert told.tls_certificate.private_key.inline_bytes == b"key"
    store.refuse("crt_1", "no")
    assert store.find("a.x") is None
    assert store.set({"crt_1": made(1, ("*.x",), 1, b"another")})
    again = store.find("a.x")
    assert again is not None, "what was refused is tried again when it is replaced"
    assert again.version != one.version
    assert "key" not in repr(made(1, ("x",), 1)).replace("private_key_pem", "")


def test_no_key_is_in_a_value_that_could_be_logged() -> None:
    """Neither of a certificate nor of what Envoy gets of it."""
    store, one = Certificates(), Certificate("crt_1", ("a.x",), b"chain", b"KEY", 1)
    store.set({"crt_1": one})
    assert "KEY" not in f"{one!r}{store.find('a.x')!r}"
