"""What the docs say is what the code says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.docs import error_entries, pages
from dev.error_codes import codes
from dev.project_file_docs import TEXTS, project_file_keys
from pkg.config import describe
from sealift.cli.project import dotenv
from sealift.cli.project.project_file import parse
from sealift.client.errors import InputError
from svc.api.config import ApiConfig
from svc.krane.config import KraneConfig
from svc.standalone.config import StandaloneConfig
from svc.worker.config import WorkerConfig
from tests.packaging.repository import ROOT, files

_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)


@pytest.mark.parametrize("path", list(pages()), ids=str)
def test_generated_pages_are_what_the_code_says(path: Path) -> None:
    """Promise: the reference is never stale. Run: make generate"""
    assert (ROOT / path).read_text(encoding="utf-8") == pages()[path]


def test_every_code_has_an_entry() -> None:
    """Promise: each error code can be looked up. New codes go into docs/errors.toml."""
    assert sorted(codes() - set(error_entries())) == []


def test_every_entry_has_a_code() -> None:
    """Promise: the page lists no code that can't occur."""
    assert sorted(set(error_entries()) - codes()) == []


def test_the_search_for_codes_sees_each_way_of_writing_one() -> None:
    """Promise: the two tests above are not blind: raised, noted by keyword, from an enum, through a table."""
    assert {
        "deployment.not_ready",
        "instance.no_region",
        "build.command_failed",
        "instance.image_not_found",
        "upload.expired",
        "internal",
        "internal.workflow_lost",
        "context.ratio",
    } <= codes()
    assert "git_commit.timestamp" not in codes()


def test_env_files_are_read_as_the_table_says() -> None:
    """Promise: each line of the table of .env files is read, or refused, as its column says."""
    text = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
    part = text.partition("### .env files")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+`) \| (.+) \| .+ \|$", part, re.MULTILINE)
    assert len(rows) == 20
    for line, said in rows:
        raw = line.strip("`").strip().encode()
        try:
            [value] = dotenv.parse(raw, ".env").values()
        except InputError:
            value = "refused"
        assert value == ("" if said == "nothing" else said.strip("`")), line


def test_entries_are_sentences() -> None:
    """Promise: each code has a meaning and a next step."""
    wrong = [code for code, texts in error_entries().items() if not all(text.endswith(".") for text in texts)]
    assert wrong == []


@pytest.mark.parametrize("kind", [ApiConfig, WorkerConfig, KraneConfig, StandaloneConfig])
def test_every_configuration_key_has_a_text(kind: type[ApiConfig]) -> None:
    """Promise: no key in the reference is without a meaning."""
    assert [key.key for key in describe(kind) if not key.doc] == []


def test_every_key_of_the_project_file_has_a_text() -> None:
    """Promise: the table of sealift.toml is complete, and has no key of the past."""
    assert {key.key for key in project_file_keys()} == set(TEXTS)


def markdown() -> list[Path]:
    return list(files("*.md"))


def anchors(text: str) -> set[str]:
    plain = _FENCE.sub("", text)
    words = (re.sub(r"[^\w\- ]", "", match["text"].lower()) for match in _HEADING.finditer(plain))
    return {word.strip().replace(" ", "-") for word in words}


def broken(page: Path) -> Iterator[str]:
    for match in _LINK.finditer(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        to = (page.parent / target).resolve() if target else page
        if not to.exists():
            yield f"{page.relative_to(ROOT)}: {target} does not exist"
        elif anchor and anchor not in anchors(to.read_text(encoding="utf-8")):
            yield f"{page.relative_to(ROOT)}: {target} has no heading {anchor}"


def test_links_lead_somewhere() -> None:
    """Promise: a link within the repository never breaks."""
    assert markdown()
    assert [line for page in markdown() for line in broken(page)] == []


def test_paths_in_the_docs_exist() -> None:
    """Promise: a file that a page names in backquotes is there."""
    named = re.compile(r"`((?:build|dev|docs|examples|pkg|proto|sealift|svc|tests)/[\w./-]+)`")
    missing = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in markdown()
        for path in named.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists()
    ]
    assert missing == []


def test_project_files_in_the_docs_are_valid() -> None:
    """Promise: a sealift.toml that a page shows can be used."""
    shown = [
        match["text"]
        for page in markdown()
        for match in _FENCE.finditer(page.read_text(encoding="utf-8"))
        if match["language"] == "toml" and "project =" in match["text"]
    ]
    assert shown
    for text in shown:
        parse(text)


def subsystems() -> list[Path]:
    return sorted((ROOT / "docs" / "subsystems").glob("*.md"))


@pytest.mark.parametrize("page", subsystems(), ids=lambda page: page.stem)
def test_a_subsystem_page_says_why_and_how_to_add_to_it(page: Path) -> None:
    """Promise: each page opens with the reason for the subsystem, names its files and ends with a numbered list."""
    text = page.read_text(encoding="utf-8")
    headings = _HEADING.findall(_FENCE.sub("", text))
    assert text.split("\n\n")[1].startswith("Why: ")
    assert headings[1:3] == ["How it works", "Where"]
    assert re.fullmatch(r"How to add an? .+", headings[-1])
    steps = re.findall(r"^(\d+)\. ", text.rpartition("\n## ")[2], re.MULTILINE)
    assert [int(step) for step in steps] == list(range(1, len(steps) + 1))
    assert len(steps) >= 3


def test_every_room_is_on_a_page() -> None:
    """Promise: every folder of pkg or of a service has a page that says what it is for."""
    text = "".join(page.read_text(encoding="utf-8") for page in subsystems())
    folders = {
        path.parent.relative_to(ROOT) for path in files("*.py") if path.relative_to(ROOT).parts[0] in ("pkg", "svc")
    }
    rooms = {str(Path(*folder.parts[:2])) for folder in folders if folder.parts[0] == "pkg" and len(folder.parts) > 1}
    rooms |= {str(Path(*folder.parts[:3])) for folder in folders if folder.parts[0] == "svc" and len(folder.parts) > 2}
    assert [room for room in sorted(rooms) if f"`{room}" not in text and not room.endswith("/testing")] == []
