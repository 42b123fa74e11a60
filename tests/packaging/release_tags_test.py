"""The rules of release tags and notes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.releasing.errors import ReleaseError
from dev.releasing.notes import change_list, image, text
from dev.releasing.repository import Change
from dev.releasing.tags import Tag, Version, last_before, parse, version

numbers = st.integers(0, 999)
words = st.from_regex(r"\A(0|[1-9][0-9]{0,3}|[a-z][a-z0-9-]{0,5})\Z")
versions = st.builds(
    Version, numbers, numbers, numbers, st.just("") | st.lists(words, min_size=1, max_size=3).map(".".join)
)


@given(versions)
def test_versions_are_read_as_written(value: Version) -> None:
    """Promise: what is tagged is what is parsed."""
    assert version(str(value)) == value
    assert str(value) == f"v{value.number}"


@given(versions, versions, versions)
def test_versions_have_one_order(one: Version, two: Version, three: Version) -> None:
    """Promise: "the newest" is one version, whatever order git lists them in."""
    assert sum([one < two, one == two, one > two]) == 1
    assert max([one, two, three]) == max([three, one, two])


@given(versions, st.sampled_from(["major", "minor", "patch"]))
def test_the_next_version_is_newer_and_whole(value: Version, part: str) -> None:
    """Promise: a proposed version is never one that is there already, nor a pre-release."""
    following = value.next(part)  # type: ignore[arg-type]
    assert following > value
    assert not following.pre


def test_order_is_that_of_semver() -> None:
    """Promise: the example of semver.org, item 11."""
    order = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1"
    read = [version(f"v{each}") for each in order.split()]
    assert sorted(read, reverse=True) == read[::-1]


@pytest.mark.parametrize(
    ("before", "part", "after"),
    [
        ("v1.4.0", "patch", "v1.4.1"),
        ("v1.4.2", "minor", "v1.5.0"),
        ("v1.4.2", "major", "v2.0.0"),
        ("v1.4.0-rc.1", "patch", "v1.4.0"),
        ("v1.4.0-rc.1", "minor", "v1.4.0"),
        ("v1.4.1-rc.1", "minor", "v1.5.0"),
        ("v2.0.0-rc.1", "major", "v2.0.0"),
        ("v2.1.0-rc.1", "major", "v3.0.0"),
    ],
)
def test_next(before: str, part: str, after: str) -> None:
    """Promise: a pre-release is followed by the release it announces."""
    assert str(version(before).next(part)) == after  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        "v1.2.3", "krane-v1.2.3", "krane/1.2.3", "krane/v1.2", "krane/v01.2.3", "krane/v1.2.3+build", "krane/v1.2.3.4",
        "krane/v1.2.3-", "krane/v1.2.3-a..b", "Krane/v1.2.3", "../v1.2.3", "a/b/v1.2.3", "krane/v1.2.3\n", "/v1.2.3",
        "krane/v1.2.3;rm", "cli/v1.2.3-rc.1", "krane/v1.2.3-" + "a" * 60, "kra ne/v1.2.3",
    ],
)  # fmt: skip
def test_other_tags_are_refused(wrong: str) -> None:
    """Promise: the glob of the workflow lets more through than is released; nothing odd becomes a name of an image."""
    with pytest.raises(ReleaseError, match=r"write|leading"):
        parse(wrong)


def test_last_before() -> None:
    """Promise: notes of a final version list all since the last final one; other services' tags do not count."""
    tags = [
        parse(each) for each in ["krane/v1.3.0", "krane/v1.4.0-rc.1", "api/v1.3.9", "krane/v1.10.0", "krane/v1.2.0"]
    ]
    assert str(last_before(tags, parse("krane/v1.4.0"))) == "krane/v1.3.0"
    assert str(last_before(tags, parse("krane/v1.4.0-rc.2"))) == "krane/v1.4.0-rc.1"
    assert str(last_before(tags, parse("krane/v2.0.0"))) == "krane/v1.10.0"
    assert last_before(tags, parse("worker/v1.0.0")) is None


def test_notes_of_a_service() -> None:
    """Promise: the notes say how to pull and verify the image by its digest."""
    tag, digest = Tag("krane", version("v1.4.0")), "sha256:" + "a" * 64
    notes = text(tag, [Change("abc1234", "Probe faster")], parse("krane/v1.3.0"), digest)
    assert image(tag) == "ghcr.io/sealift/krane:v1.4.0"
    assert "Since krane/v1.3.0:\n\n* Probe faster (abc1234)" in notes
    assert f"cosign verify ghcr.io/sealift/krane@{digest}" in notes
    assert "sign-image.yaml@refs/tags/krane/v1.4.0" in notes


def test_notes_without_changes() -> None:
    """Promise: an empty list is stated as text."""
    assert change_list([], None) == "First release."
    assert change_list([], parse("api/v1.0.0")) == "No change to its own code since api/v1.0.0."
    assert "pip install sealift==1.0.1" in text(parse("cli/v1.0.1"), [], parse("cli/v1.0.0"))
