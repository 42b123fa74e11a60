"""The rules of .dockerignore: vectors that an engine agreed with, and the docker SDK's matcher as a second opinion."""

import pytest
from docker.utils.build import PatternMatcher
from hypothesis import given
from hypothesis import strategies as st

from sealift.client.ignore import IgnoreRules, Matches, PatternError

# Built and compared with what an engine copied (19 files, 12 patterns).
FILES = [
    "a.txt", "b.log", "sub/b.log", "sub/deep/b.log", "keep.log", "node_modules/x.js", "sub/node_modules/y.js",
    "build/out.o", "build/keep.me", "docs/readme.md", "docs/x.md", ".git/HEAD", ".env", ".env.local",
    "foo/bar/baz.txt", "foo/bar/qux.txt", "x/y/z.tmp", "z.tmp", "sp ace.txt",
]  # fmt: skip
TEXT = """# comment
*.log
!keep.log
node_modules
build/*
!build/keep.me
docs
!docs/readme.md
.git
.env*
/foo/bar/baz.txt
**/*.tmp

"""
KEPT = {
    "a.txt", "sub/b.log", "sub/deep/b.log", "keep.log", "sub/node_modules/y.js", "build/keep.me", "docs/readme.md",
    "foo/bar/qux.txt", "sp ace.txt",
}  # fmt: skip


def is_out(rules: IgnoreRules, path: str) -> bool:
    """Whether a path is left out, with the matches of its directories handed down as the walk does."""
    matches: Matches | None = None
    out = False
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        out, matches = rules.leaves_out("/".join(parts[:depth]), matches)
    return out


def test_vectors() -> None:
    """Promise: the context is the one that docker would send."""
    rules = IgnoreRules.parse(TEXT)
    assert {path for path in FILES if not is_out(rules, path)} == KEPT


@pytest.mark.parametrize(
    ("pattern", "path", "out"),
    [
        ("*", "a", True),
        ("*", "a/b", True),
        ("*/b", "b", False),
        ("**", "a/b/c", True),
        ("**/c", "c", True),
        ("**/c", "a/b/c", True),
        ("**/c", "a/b/c/d", True),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**", "a", False),
        ("a/**", "a/b", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c].x", "b.x", True),
        ("[^a-c].x", "b.x", False),
        ("[^a-c].x", "d.x", True),
        (r"\*", "*", True),
        (r"\*", "a", False),
        ("a.b", "axb", False),
        ("a+b(c){d}|$", "a+b(c){d}|$", True),
        ("./a/", "a/b", True),
        ("a/../b", "b", True),
        ("/a", "a", True),
        ("../a", "a", False),
        (".", "a", False),
        ("  a  ", "a", True),
        ("a\r", "a", True),
        ("[&&]", "&", True),
        ("ä*", "äx", True),
    ],
)
def test_patterns(pattern: str, path: str, out: bool) -> None:
    """Promise: patterns match as moby's matcher does."""
    assert is_out(IgnoreRules.parse(pattern), path) is out


def test_last_match_wins() -> None:
    """Promise: the last matching pattern decides."""
    rules = IgnoreRules.parse("*\n!a\na/b\n!a/b/c")
    assert [is_out(rules, path) for path in ("x", "a", "a/z", "a/b", "a/b/c", "a/b/d")] == [
        True, False, False, True, False, True,
    ]  # fmt: skip


def test_below_an_excluded_directory() -> None:
    """Promise: an excluded directory is entered only if an exception may match in it."""
    rules = IgnoreRules.parse("node_modules\ndocs\n!docs/a/readme.md\n!**/*.keep")
    assert rules.may_take_back_below("docs")
    assert rules.may_take_back_below("docs/a")
    assert rules.may_take_back_below("node_modules")  # **/*.keep may match anywhere
    assert not IgnoreRules.parse("x\n!docs/readme.md").may_take_back_below("x")


@pytest.mark.parametrize("text", ["!", "a\n[z", "x\\"])
def test_bad_patterns_are_named(text: str) -> None:
    """Promise: an invalid pattern is refused with its line number."""
    with pytest.raises(PatternError, match=f"line {text.count(chr(10)) + 1}"):
        IgnoreRules.parse(text)


def test_bom_and_comments() -> None:
    """Promise: a byte order mark is not part of the first pattern; only a # in the first column starts a comment."""
    assert is_out(IgnoreRules.parse("\ufeffa"), "a")
    assert is_out(IgnoreRules.parse(" #a"), "#a")


names = st.sampled_from(["a", "b", "ab", "c.x", "d.x"])
pieces = st.sampled_from(["a", "b", "ab", "*", "a*", "*.x", "?", "c.x"])
patterns = st.lists(
    st.builds(
        lambda negative, parts: ("!" if negative else "") + "/".join(parts),
        st.booleans(),
        st.lists(pieces, min_size=1, max_size=3),
    ),
    max_size=6,
)


@given(patterns, st.lists(names, min_size=1, max_size=4))
def test_agrees_with_the_docker_sdk(lines: list[str], parts: list[str]) -> None:
    """Promise: without `**`, the matches are those of the docker SDK's matcher."""
    path = "/".join(parts)
    assert is_out(IgnoreRules.parse("\n".join(lines)), path) == PatternMatcher(list(lines)).matches(path)  # type: ignore[arg-type]


@given(st.text(max_size=60))
def test_any_text_is_rules_or_refused(text: str) -> None:
    """Promise: no text makes the matcher crash."""
    try:
        rules = IgnoreRules.parse(text)
    except PatternError:
        return
    is_out(rules, "a/b")
