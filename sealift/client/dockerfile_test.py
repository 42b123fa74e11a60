"""Which paths a Dockerfile copies: those that are certain, and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.client.dockerfile import copied_paths


@pytest.mark.parametrize(
    ("dockerfile", "paths"),
    [
        ("FROM x\nCOPY dist /app", ["dist"]),
        ("COPY ./dist/ /other/../dist dist /app/", ["dist"]),
        ("copy --chown=1:1 --link a b/c /", ["a", "b/c"]),
        ('COPY ["with space", "b", "/"]', ["with space", "b"]),
        ("ADD a.tar.gz /", ["a.tar.gz"]),
        ("COPY a \\\n  # why\n  b \\\n  /", ["a", "b"]),
        ("# escape=`\nCOPY a `\n  b /", ["a", "b"]),
        ("COPY --from=build /app/dist /app", []),
        ("COPY . .", []),
        ("COPY *.py $DIR/x ${A} [ab] /", []),
        ("ADD https://example.com/x git@github.com:a/b.git /", []),
        ("COPY <<EOF /x\nhello\nEOF", []),
        ("# COPY a b\nRUN COPY a b\nONBUILD COPY a b\nCOPYRIGHT a b", []),
        ('COPY ["broken", \nCOPY\nCOPY a', []),
        ("COPY ../up /", []),
    ],
)
def test_paths(dockerfile: str, paths: list[str]) -> None:
    """Promise: plain sources are found in every form of the instruction; uncertain ones are ignored."""
    assert copied_paths(dockerfile) == paths


@given(st.text(st.sampled_from("COPYADD copy--from= \n\\`#[]\"',./abc$<")))
def test_any_text(text: str) -> None:
    """Promise: any text is accepted, and all paths are inside the context."""
    assert not [path for path in copied_paths(text) if path.startswith(("/", "..")) or not path]
