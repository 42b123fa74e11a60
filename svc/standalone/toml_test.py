"""What is written is what is read."""

from pathlib import Path
from tempfile import TemporaryDirectory

import tomli
from hypothesis import example, given
from hypothesis import strategies as st

from pkg.config import Secret, Strict, load
from pkg.images.config import RegistryLogin
from svc.standalone import toml

_names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_plain = st.one_of(_text, st.integers(-(2**62), 2**62), st.booleans(), st.floats(0.125, 1e6))
_leaf = st.dictionaries(_names, _plain, max_size=4)
_lists = st.one_of(st.lists(_text, max_size=3), st.lists(_leaf, min_size=1, max_size=3))
_table = st.dictionaries(_names, st.one_of(_plain, _leaf, _lists), max_size=5)


@given(_table)
def test_round_trip(table: dict[str, object]) -> None:
    """No path, key or text breaks a generated config."""
    assert tomli.loads(toml.render(table)) == table  # type: ignore[arg-type]


_secret = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(username=_secret, password=_secret)
@example(username="${HOME}", password="$${A}")
def test_a_section_is_passed_on_as_it_was_read(username: str, password: str) -> None:
    """A secret with any characters reaches the service that needs it; the file may refer to no variable."""
    login = RegistryLogin(host="registry.example.com", username=username, password=Secret(password))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_text(toml.render({"login": toml.section(login)}), encoding="utf-8")
        read = load(path, _Sections, env={}).login
    assert (read.username, read.password.reveal()) == (username, password)


class _Sections(Strict):
    login: RegistryLogin
