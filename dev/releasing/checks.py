"""Is a commit fit to be released?"""

from pathlib import Path

from dev.releasing.errors import ReleaseError
from dev.releasing.repository import Repository
from dev.releasing.tags import CLI, Tag, Version, parse


def released(repository: Repository, text: str, kind: str) -> Tag:
    """The tag `text`, after all that must hold before anything of it is published.

    Args:
        repository: with all tags, the whole history and origin/main; it stands at the tag.
        text: the tag.
        kind: "service" or "cli": what the caller releases.

    Raises:
        ReleaseError: The tag is of the other kind, names no service, is not checked out, its commit is not in
            origin/main, or the package says another version.
    """
    tag = parse(text)
    if kind == CLI and tag.name != CLI:
        raise ReleaseError(f"{tag} is no tag of the command line; it has the form cli/v1.2.3")
    if kind != CLI and tag.name not in repository.images():
        raise ReleaseError(f"{tag}: there is no service {tag.name}; there are {', '.join(repository.images())}")
    commit = repository.commit(f"refs/tags/{tag}")
    if repository.commit("HEAD") != commit:
        raise ReleaseError(f"{tag} is not what is checked out: git checkout {tag}")
    require_on_main(repository, commit, str(tag))
    if kind == CLI and package_version(repository.root) != tag.version.number:
        raise ReleaseError(
            f"{tag} releases a package that says {package_version(repository.root)}; the tag and the version in"
            " pyproject.toml and sealift/__init__.py must agree"
        )
    return tag


def require_on_main(repository: Repository, commit: str, what: str) -> None:
    """Raises:
    ReleaseError: origin/main does not contain the commit; only what was reviewed and tested there is released.
    """
    if not repository.is_on_main(commit):
        raise ReleaseError(
            f"{what} ({commit[:12]}) is not in origin/main; only what was merged there is released. "
            "Merge it, then tag the commit on main"
        )


def package_version(root: Path) -> str:
    """The version of the Python package.

    Raises:
        ReleaseError: pyproject.toml and sealift/__init__.py name different ones.
    """
    project = _value(root / "pyproject.toml", "version = ")
    module = _value(root / "sealift" / "__init__.py", "__version__ = ")
    if project != module:
        raise ReleaseError(f"pyproject.toml says version {project}, sealift/__init__.py says {module}; make them equal")
    return project


def package_release(root: Path) -> Version:
    """The same as a version to be tagged."""
    return parse(f"{CLI}/v{package_version(root)}").version


def _value(path: Path, start: str) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(start):
            return line.removeprefix(start).strip().strip('"')
    raise ReleaseError(f"{path.name} has no line that starts with {start!r}")
