from pathlib import Path

from pkg.buildinfo import UNKNOWN, BuildInfo, current, read
from sealift import __version__


def test_an_image_knows_its_release(tmp_path: Path) -> None:
    """Promise: what --version says is what the image was stamped with."""
    file = tmp_path / "buildinfo.json"
    file.write_text('{"version": "v1.2.3", "revision": "0123abcd", "built_at": "2026-01-31T12:00:00Z"}\n')
    info = read(file)
    assert info == BuildInfo(version="v1.2.3", revision="0123abcd", built_at="2026-01-31T12:00:00Z")
    assert str(info) == "v1.2.3 (revision 0123abcd, built 2026-01-31T12:00:00Z)"


def test_a_checkout_has_the_version_of_the_distribution(tmp_path: Path) -> None:
    """Promise: without a info, or with a broken one, a service still starts and names a version."""
    (tmp_path / "broken.json").write_text("{")
    expected = BuildInfo(version=__version__, revision=UNKNOWN, built_at=UNKNOWN)
    assert read(tmp_path / "none.json") == read(tmp_path / "broken.json") == current() == expected
