import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.platforms import Platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform.AMD64),
        ("/linux/amd64", Platform.AMD64),
        ("linux/arm64", Platform.ARM64),
        ("/linux/arm64", Platform.ARM64),
        ("", None),
        ("/", None),
        ("dynamic", None),
    ],
)
def test_the_two_platforms_and_none(text: str, platform: Platform | None) -> None:
    """Promise: exactly two platforms are known, a leading slash is no matter, and no platform is the builder's own."""
    assert Platform.parse(text) is platform


@given(st.text() | st.sampled_from(["linux/arm64/v8", "linux/arm/v7", "windows/amd64", "LINUX/AMD64", "//linux/amd64"]))
def test_nothing_else_is_a_platform(text: str) -> None:
    """Promise: any other text is refused with both names in the message."""
    if text in ("", "/", "dynamic", "/dynamic"):
        return
    with pytest.raises(ValueError, match="linux/amd64 or linux/arm64"):
        Platform.parse(text)
