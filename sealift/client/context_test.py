"""What belongs to a build context, and what is refused."""

import os
import subprocess
from pathlib import Path

import pytest

from sealift.client.context import scan, sensitive, size_text
from sealift.client.errors import InputError
from sealift.client.tree import NEWEST_S, OLDEST_S, Kind


def tree(root: Path, *paths: str, ignore: str | None = None) -> Path:
    for path in ("Dockerfile", *paths):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)
    if ignore is not None:
        (root / ".dockerignore").write_text(ignore)
    return root


def paths(root: Path, dockerfile: str = "Dockerfile") -> list[str]:
    return [entry.path for entry in scan(root, dockerfile).entries if entry.kind is not Kind.DIRECTORY]


def git(root: Path, *args: str) -> None:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "-C", str(root), *args], check=True, capture_output=True, env=env)


def test_dockerignore(tmp_path: Path) -> None:
    """Promise: .dockerignore filters the context; Dockerfile and .dockerignore are always sent."""
    tree(tmp_path, "a.py", "x.log", "deep/y.log", "docs/readme.md", "docs/z.md", ignore="*\n!a.py\n!docs/readme.md")
    assert paths(tmp_path) == [".dockerignore", "Dockerfile", "a.py", "docs/readme.md"]
    context = scan(tmp_path)
    assert context.ignore_file == ".dockerignore"
    assert [e.path for e in context.entries if e.kind is Kind.DIRECTORY] == ["docs"]


def test_dockerfile_below_an_ignored_directory(tmp_path: Path) -> None:
    """Promise: a named Dockerfile is sent even from an excluded directory."""
    tree(tmp_path, "ops/web.Dockerfile", "ops/secret", ignore="ops")
    assert paths(tmp_path, "ops/web.Dockerfile") == [".dockerignore", "Dockerfile", "ops/web.Dockerfile"]


def test_ignore_file_of_the_dockerfile_comes_first(tmp_path: Path) -> None:
    """Promise: <Dockerfile>.dockerignore takes precedence over .dockerignore, as in BuildKit."""
    tree(tmp_path, "a", "b", ignore="a")
    (tmp_path / "Dockerfile.dockerignore").write_text("b")
    context = scan(tmp_path)
    assert context.ignore_file == "Dockerfile.dockerignore"
    assert {"a", "Dockerfile.dockerignore"} <= {e.path for e in context.entries}
    assert "b" not in {e.path for e in context.entries}


def test_without_dockerignore_git_decides(tmp_path: Path) -> None:
    """Promise: without .dockerignore, .git and files that git ignores are excluded, with a message."""
    tree(tmp_path, "app.py", "venv/lib/x.py", "sub/out.o", "sub/new.py", "sub/.git")
    (tmp_path / ".gitignore").write_text("venv/\n*.o\n")
    git(tmp_path, "init", "-q")
    assert paths(tmp_path) == [".gitignore", "Dockerfile", "app.py", "sub/new.py"]
    assert "files that git ignores" in scan(tmp_path).rule


def test_nested_repositories_have_their_own_rules(tmp_path: Path) -> None:
    """Promise: files that a submodule or nested repository ignores are excluded."""
    app, library = tree(tmp_path / "app", "app.py", "top.log"), tree(tmp_path / "library", "lib.py")
    for root, rule in ((app, "*.log\n"), (library, "*.o\nout/\n")):
        (root / ".gitignore").write_text(rule)
        git(root, "init", "-q")
        git(root, "add", ".")
        git(root, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-m", "x")
    git(app, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "sub")
    git(app, "clone", "-q", str(library), "nested")
    git(app, "clone", "-q", str(library), "nested/deeper")
    for place in ("sub", "nested", "nested/deeper"):
        tree(app / place, "a.o", "out/x", "mine.log")
    found = set(paths(app))
    for place in ("sub", "nested", "nested/deeper"):
        assert {f"{place}/lib.py", f"{place}/mine.log"} <= found
        assert not found & {f"{place}/a.o", f"{place}/out/x"}
    assert not [path for path in found if path.endswith(".git") or path == "top.log"]
    os.chown(app / "nested", 65534, 65534)
    with pytest.raises(InputError, match=r"nested.*another user") as caught:
        scan(app)
    assert caught.value.code == "git.unavailable"
    (app / ".gitignore").write_text("*.log\nnested/\n")
    assert "sub/lib.py" in paths(app)


def test_a_nested_repository_without_an_outer_one(tmp_path: Path) -> None:
    """Promise: a nested repository's rules apply without an outer repository, with a message."""
    tree(tmp_path, "lib/a.o", "lib/a.c", "b.o")
    (tmp_path / "lib/.gitignore").write_text("*.o\n")
    assert "everything" in scan(tmp_path).rule
    git(tmp_path / "lib", "init", "-q")
    assert set(paths(tmp_path)) == {"Dockerfile", "b.o", "lib/.gitignore", "lib/a.c"}
    assert "files that git ignores" in scan(tmp_path).rule


def test_a_directory_that_git_ignores_as_a_whole(tmp_path: Path) -> None:
    """Promise: deploying an output directory, which git ignores, sends it, and says so."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("dist/\n")
    tree(tmp_path / "dist", "a", "b/c")
    assert paths(tmp_path / "dist") == ["Dockerfile", "a", "b/c"]
    assert "git ignores the whole directory" in scan(tmp_path / "dist").rule


def test_without_asking_git(tmp_path: Path) -> None:
    """Promise: --no-git sends everything except .git, also of nested repositories, and never calls git."""
    tree(tmp_path, "x.o", "lib/y.o")
    (tmp_path / ".gitignore").write_text("*.o\n")
    for place in (tmp_path, tmp_path / "lib"):
        git(place, "init", "-q")
        (place / ".git/HEAD").unlink()
    context = scan(tmp_path, use_git=False)
    assert [entry.path for entry in context.files] == [".gitignore", "Dockerfile", "lib/y.o", "x.o"]
    assert "--no-git" in context.rule


def test_below_a_repository(tmp_path: Path) -> None:
    """Promise: in a directory below the repository's root git's rules hold just the same."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*.o\n")
    tree(tmp_path / "svc", "a.c", "a.o")
    assert paths(tmp_path / "svc") == ["Dockerfile", "a.c"]


def test_without_git_and_dockerignore(tmp_path: Path) -> None:
    """Promise: outside a repository everything is sent, with a message."""
    tree(tmp_path, "a", ".hidden")
    assert paths(tmp_path) == [".hidden", "Dockerfile", "a"]
    assert "everything except .git" in scan(tmp_path).rule


def test_missing_directory(tmp_path: Path) -> None:
    """Promise: a missing path, a file, and an empty directory are reported as such."""
    with pytest.raises(InputError, match="does not exist"):
        scan(tmp_path / "nope")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="not a directory"):
        scan(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is empty"):
        scan(tmp_path / "empty")


def test_no_dockerfile(tmp_path: Path) -> None:
    """Promise: without a Dockerfile the next step is shown, and one under another name is suggested."""
    (tmp_path / "app.py").write_text("x")
    (tmp_path / "dockerfile").mkdir()
    with pytest.raises(InputError, match="has no Dockerfile; create one"):
        scan(tmp_path)
    (tmp_path / "web.Dockerfile").write_text("x")
    with pytest.raises(InputError, match=r"there is web\.Dockerfile: use it with --dockerfile"):
        scan(tmp_path)


@pytest.mark.parametrize("given", ["../Dockerfile", "/etc/passwd", "sub/../../Dockerfile", "link"])
def test_dockerfile_outside(tmp_path: Path, given: str) -> None:
    """Promise: a Dockerfile outside the context is refused, also through a link."""
    tree(tmp_path)
    root = tree(tmp_path / "root", "sub/x")
    (root / "link").symlink_to("../Dockerfile")
    with pytest.raises(InputError) as caught:
        scan(root, given)
    assert caught.value.code == "context.dockerfile_outside"


def test_absolute_dockerfile_inside(tmp_path: Path) -> None:
    """Promise: an absolute path into the context works like a relative one."""
    tree(tmp_path, "sub/Dockerfile")
    assert scan(tmp_path, str(tmp_path / "sub/Dockerfile")).dockerfile == "sub/Dockerfile"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a/../../x", ".."])
def test_links_that_lead_out(tmp_path: Path, target: str) -> None:
    """Promise: a link that points outside is refused by name with the next step, unless it is ignored."""
    tree(tmp_path, "a/b")
    (tmp_path / "bad").symlink_to(target)
    with pytest.raises(InputError, match=r"bad -> .*\.dockerignore"):
        scan(tmp_path)
    (tmp_path / ".dockerignore").write_text("bad")
    assert "bad" not in paths(tmp_path)


def test_link_out_through_a_link(tmp_path: Path) -> None:
    """Promise: ".." behind another link is checked by its real target."""
    tree(tmp_path, "a/b/c")
    (tmp_path / "a" / "b" / "up").symlink_to("../..")
    (tmp_path / "sly").symlink_to("a/b/up/../x")
    with pytest.raises(InputError, match="sly"):
        scan(tmp_path)


def test_links_inside_are_kept(tmp_path: Path) -> None:
    """Promise: links inside the context, also dangling ones, are kept unchanged."""
    tree(tmp_path, "a/b")
    (tmp_path / "l").symlink_to("a/b")
    (tmp_path / "a" / "dangling").symlink_to("nowhere")
    found = {entry.path: entry.target for entry in scan(tmp_path).entries if entry.kind is Kind.LINK}
    assert found == {"l": "a/b", "a/dangling": "nowhere"}


def test_warnings(tmp_path: Path) -> None:
    """Promise: files that look like secrets are reported; special files are excluded and reported."""
    tree(tmp_path, ".env.production", "k/id_rsa", "id_rsa.pub", ".env.example")
    os.mkfifo(tmp_path / "pipe")
    notes = "\n".join(scan(tmp_path).notes)
    assert ".env.production, k/id_rsa;" in notes
    assert "pipe" in notes


def test_large_context_names_the_largest(tmp_path: Path) -> None:
    """Promise: a context over 100 MB causes a warning with the largest files."""
    tree(tmp_path)
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(101 << 20)
    assert "big.bin (101.0 MiB)" in "\n".join(scan(tmp_path).notes)


def test_bad_ignore_file(tmp_path: Path) -> None:
    """Promise: an invalid line of the ignore file is reported with file and number."""
    tree(tmp_path, ignore="ok\n[bad")
    with pytest.raises(InputError, match=r"\.dockerignore: line 2"):
        scan(tmp_path)


def test_sensitive_names() -> None:
    """Promise: example settings files cause no warning."""
    assert sensitive("a/.env")
    assert sensitive("server.key")
    assert not sensitive(".env.example")
    assert not sensitive("keyboard.py")


def test_size_text() -> None:
    """Promise: sizes have a suitable unit."""
    assert [size_text(n) for n in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]


def test_modes_and_dates(tmp_path: Path) -> None:
    """Promise: permission bits and times are kept; times out of range become the nearest."""
    tree(tmp_path)
    for mode in (0o600, 0o777, 0o4755, 0o2750, 0o1666, 0o000):
        (tmp_path / f"{mode:o}").touch()
        (tmp_path / f"{mode:o}").chmod(mode)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    (tmp_path / "link").symlink_to("600")
    dates = {"old": -3e8, "zero": 0, "half": 1.5e9 + 0.9, "late": 5e9, "edge": NEWEST_S}
    for name, date in dates.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (date, date))
    os.utime(tmp_path / "link", (1.4e9, 1.4e9), follow_symlinks=False)
    found = {entry.path: entry for entry in scan(tmp_path).entries}
    assert all(found[f"{mode:o}"].mode == mode for mode in (0o600, 0o777, 0o4755, 0o2750, 0o1666, 0o000))
    assert (found["open"].mode, found["link"].mode, found["link"].mtime_s) == (0o1777, 0o777, 1_400_000_000)
    assert [found[name].mtime_s for name in dates] == [OLDEST_S, OLDEST_S, 1_500_000_000, NEWEST_S, NEWEST_S]


def test_directories_are_as_old_as_what_is_sent_of_them(tmp_path: Path) -> None:
    """Promise: excluded files don't affect a directory's time; an empty directory keeps its own."""
    tree(tmp_path, "a/b/new", "a/old", "logs/x.log", ignore="**/*.log")
    (tmp_path / "empty").mkdir()
    for path, date in (("a/b/new", 1.6e9), ("a/old", 1.5e9), ("empty", 1.4e9)):
        os.utime(tmp_path / path, (date, date))

    def dates() -> dict[str, int]:
        return {entry.path: entry.mtime_s for entry in scan(tmp_path).entries if entry.kind is Kind.DIRECTORY}

    before = dates()
    assert before == {"a": 1_600_000_000, "a/b": 1_600_000_000, "empty": 1_400_000_000, "logs": OLDEST_S}
    (tmp_path / "a/b/y.log").touch()
    (tmp_path / "logs/z.log").touch()
    assert dates() == before


@pytest.mark.parametrize(
    ("ignore", "dockerfile", "is_sent"),
    [
        (None, "COPY . .", False),
        ("*.md", "COPY . .", False),
        ("*\n!app.py", "COPY . .", False),
        ("*\n!*.toml", "COPY . .", False),
        ("*\n!sealift.toml", "COPY . .", True),
        ("!sealift.toml\n*.toml", "COPY . .", False),
        (None, "COPY sealift.toml /etc/", True),
        (None, "RUN --mount=type=bind,source=sealift.toml,target=/t cat /t", True),
        (None, "# sealift.toml\nCOPY . .", False),
        ("sealift.toml", "COPY sealift.toml .", False),
    ],
)
def test_the_project_file_is_not_sent(tmp_path: Path, ignore: str | None, dockerfile: str, is_sent: bool) -> None:
    """Promise: sealift.toml of the root is excluded unless the build names it; one in a subdirectory is included."""
    tree(tmp_path, "app.py", "sealift.toml", "sub/sealift.toml", ignore=ignore)
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\n{dockerfile}\n")
    assert ("sealift.toml" in paths(tmp_path)) is is_sent
    if ignore is None:
        assert "sub/sealift.toml" in paths(tmp_path)


def test_copied_but_not_sent(tmp_path: Path) -> None:
    """Promise: files that the Dockerfile copies but that are excluded cause a warning."""
    tree(tmp_path, "dist/app.js", "src/a", "secret")
    (tmp_path / "Dockerfile").write_text("FROM x\nCOPY dist /dist\nCOPY src nowhere /src/\n")
    (tmp_path / ".gitignore").write_text("dist\nsecret\n")
    assert not scan(tmp_path).notes
    git(tmp_path, "init", "-q")
    [note] = scan(tmp_path).notes
    assert "copies dist, which git ignores: it is not sent. Create a .dockerignore" in note
    (tmp_path / ".dockerignore").write_text("dist\nsrc\n")
    [note] = scan(tmp_path).notes
    assert "copies dist, src, which .dockerignore excludes: they are not sent. To send, add the line !dist" in note
    (tmp_path / ".dockerignore").write_text("secret\n")
    (tmp_path / "link").symlink_to("dist")
    (tmp_path / "Dockerfile").write_text("FROM x\nCOPY link/app.js dist/app.js /\n")
    assert not scan(tmp_path).notes
