"""`dev/release NAME`: the next release, and with --yes its tag."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.releasing import closure, notes
from dev.releasing.checks import package_release, require_on_main
from dev.releasing.errors import ReleaseError
from dev.releasing.repository import Change, Repository
from dev.releasing.tags import CLI, FIRST, Part, Tag, last_before, version

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plan:
    """What would be released."""

    tag: Tag
    last: Tag | None
    commit: str
    changes: list[Change]

    def message(self) -> str:
        """The message of the tag."""
        return f"{self.tag.name} {self.tag.version}\n\n{notes.change_list(self.changes, self.last)}\n"


def plan(repository: Repository, name: str, part: Part = "patch", wanted: str = "") -> Plan:
    """The release of HEAD.

    Args:
        repository: it has all tags and origin/main.
        name: of an image, or "cli".
        part: which number of the last version goes up; of the command line the package says the version.
        wanted: a version instead, as v1.2.3.

    Raises:
        ReleaseError: There is no such image, files are changed, HEAD is not on origin/main, the version is not new.
    """
    names = [*repository.images(), CLI]
    if name not in names:
        raise ReleaseError(f"there is no {name!r} to release; there are {', '.join(names)}")
    if changed := repository.changed_files():
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ReleaseError(
            f"the tree is not clean ({', '.join(changed[:3])}{more}); commit or remove, for a tag holds only commits"
        )
    commit = repository.commit("HEAD")
    require_on_main(repository, commit, "HEAD")
    tags = repository.tags(name)
    newest = max((tag.version for tag in tags), default=None)
    if name == CLI:
        new = package_release(repository.root)
        if wanted and version(wanted) != new:
            raise ReleaseError(
                f"the package says {new}, not {wanted}; change pyproject.toml and sealift/__init__.py first"
            )
    elif wanted:
        new = version(wanted)
    else:
        new = newest.next(part) if newest else FIRST
    tag = Tag(name, new)
    if tag in tags:
        hint = f"; raise the version in pyproject.toml and sealift/__init__.py, to {new.next(part).number}" * (
            name == CLI
        )
        raise ReleaseError(f"{tag} exists, and a release never changes{hint}")
    if newest and new < newest:
        raise ReleaseError(f"{tag} is older than {name}/{newest}; a release only goes up")
    last = last_before(tags, tag)
    changes = repository.changes(str(last) if last else None, commit, closure.paths(repository.root, name))
    return Plan(tag, last, commit, changes)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 shown or tagged, 1 refused, 2 the command line is wrong."""
    parser = argparse.ArgumentParser(
        prog="dev/release", description="Show what the next release would be. --yes makes the tag; pushing it releases."
    )
    parser.add_argument("name", help="an image (a folder in build/), or cli")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--part", choices=["major", "minor", "patch"], default="patch", help="[default: patch]")
    group.add_argument("--version", default="", metavar="v1.2.3", help="this version instead of the next one")
    parser.add_argument("--yes", action="store_true", help="make the annotated tag in this clone")
    parser.add_argument("-C", dest="root", type=Path, default=ROOT, metavar="DIR", help="another clone")
    options = parser.parse_args(argv)
    repository = Repository(options.root.resolve())
    try:
        made = plan(repository, options.name, options.part, options.version)
        print(f"{made.tag} at {made.commit[:12]}\n\n{notes.change_list(made.changes, made.last)}\n")
        if not options.yes:
            print("Nothing was changed. The same with --yes makes the tag.", file=sys.stderr)
            return 0
        repository.create_tag(str(made.tag), made.message(), made.commit)
    except ReleaseError as error:
        print(f"dev/release: {error}", file=sys.stderr)
        return 1
    print(f"Tagged. To release it: git push origin refs/tags/{made.tag}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
