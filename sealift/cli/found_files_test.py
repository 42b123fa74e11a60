"""What lies in a directory beside a Dockerfile: named, never obeyed."""

from pathlib import Path

from sealift.cli.found_files import look


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_dockerfile_is_enough(tmp_path: Path) -> None:
    """Promise: with a Dockerfile in its place nothing is said of others."""
    found = look(make(tmp_path, "Dockerfile", "dev/Dockerfile", "Dockerfile.dockerignore"))
    assert (found.has_dockerfile, found.lines()) == (True, [])


def test_dockerfiles_elsewhere(tmp_path: Path) -> None:
    """Promise: Dockerfiles under other names and in folders are named with the command that uses one."""
    found = look(make(tmp_path, "api/Dockerfile", "web/Dockerfile.prod", "a/b/app.dockerfile", "a/b/c/Dockerfile"))
    assert found.lines() == [
        "found a/b/app.dockerfile, api/Dockerfile, web/Dockerfile.prod: "
        "`sealift deploy --dockerfile a/b/app.dockerfile` uses it"
    ]
    assert "`sealift deploy api` uses it" in look(make(tmp_path / "x", "api/Dockerfile")).lines()[0]


def test_what_is_not_read(tmp_path: Path) -> None:
    """Promise: a compose file and a Procfile are named, and that they are not obeyed."""
    said = look(make(tmp_path, "Dockerfile", "compose.yaml", "Procfile")).lines()
    assert len(said) == 1
    assert said[0].startswith("found compose.yaml and Procfile: they are not obeyed yet.")


def test_how_the_app_is_started_without_a_dockerfile(tmp_path: Path) -> None:
    """Promise: who has to write a Dockerfile reads its last line."""
    (tmp_path / "package.json").write_text('{"scripts": {"start": "node a.js"}}')
    said = look(tmp_path).lines()
    assert said == [
        'found package.json with the start script “node a.js”: as the end of a Dockerfile that is CMD ["npm", "start"]'
    ]
    assert look(make(tmp_path, "Dockerfile")).lines() == []


def test_folders_of_packages_are_left_out(tmp_path: Path) -> None:
    """Promise: what others wrote is not taken for the app's."""
    make(tmp_path, "node_modules/x/Dockerfile", ".git/Dockerfile", "vendor/Dockerfile")
    assert look(tmp_path).lines() == []
    assert look(tmp_path / "nosuch").lines() == []
