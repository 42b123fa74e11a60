"""Scans a directory as a build context: its entries, and problems with them.

`scan` reads names, sizes, modes and times, and the content of the ignore file and the Dockerfile only. The entries are
sorted, so that the same tree always gives the same archive.
"""

import os
import posixpath
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from sealift.client.dockerfile import copied_paths
from sealift.client.errors import InputError
from sealift.client.git import GitIgnored
from sealift.client.ignore import IgnoreRules, Matches, PatternError
from sealift.client.tree import OLDEST_S, Entry, Kind, entry_of, generated_entry, parents, with_directory_mtimes

DEFAULT_DOCKERFILE = "Dockerfile"
GENERATED_DOCKERFILE = ".sealift/Dockerfile"
PROJECT_FILE = "sealift.toml"
MAX_DOCKERFILE_BYTES = 1 << 20
LARGE_CONTEXT_BYTES = 100 << 20
MAX_IGNORE_FILE_BYTES = 1 << 20
MAX_LISTED_PATHS = 5  # in a message

SENSITIVE_NAMES = (
    ".env", ".env.*", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks",
    "*.kdbx", ".netrc", ".pypirc", ".pgpass", ".htpasswd",
)  # fmt: skip
# Besides what git ignores, without an ignore file and a Dockerfile of its own: what an installation makes again, for
# another machine or another version, and files with secrets for development.
UNSENT_NAMES = frozenset({"node_modules", ".venv", "venv", "__pycache__", ".env", ".env.local"})
HARMLESS_NAMES = (".env.example", ".env.sample", ".env.template", ".env.dist", "*.pub")


@dataclass(frozen=True)
class Context:
    """A scanned directory.

    Attributes:
        root: absolute.
        dockerfile: relative to root, with slashes.
        entries: sorted by path.
        ignore_file: the ignore file that was used, relative to root; None if there is none.
        rule: text: what was excluded, and by which rule.
        notes: warnings: sensitive files, size, skipped paths.
        scanned_at_ns: start of the scan, epoch nanoseconds.
    """

    root: Path
    dockerfile: str
    entries: tuple[Entry, ...]
    ignore_file: str | None
    rule: str
    notes: tuple[str, ...] = field(default=())
    scanned_at_ns: int = 0

    @property
    def files(self) -> tuple[Entry, ...]:
        """The entries that are files."""
        return tuple(entry for entry in self.entries if entry.kind is Kind.FILE)

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(entry.size_bytes for entry in self.entries)

    def largest(self, count: int = MAX_LISTED_PATHS) -> list[Entry]:
        """The largest files, largest first."""
        return sorted(self.files, key=lambda entry: (-entry.size_bytes, entry.path))[:count]


def scan(
    root: Path, dockerfile: str = DEFAULT_DOCKERFILE, *, use_git: bool = True, generated: str | None = None
) -> Context:
    """The build context of a directory.

    Args:
        root: the directory.
        dockerfile: relative to it, or absolute and below it.
        use_git: without an ignore file, exclude what git ignores.
        generated: the text of a generated Dockerfile, which is added as GENERATED_DOCKERFILE in the place of
            `dockerfile`; without an ignore file UNSENT_NAMES are excluded.

    Raises:
        InputError: the directory is missing or empty; the Dockerfile is missing or outside; an invalid ignore file; a
            link that points outside; a repository that git can't read; a file in the place of the generated one.
    """
    began_ns = time.time_ns()
    root = _checked_root(root)
    dockerfile = _checked_dockerfile(root, dockerfile) if generated is None else GENERATED_DOCKERFILE
    rules, ignore_file = _read_rules(root, dockerfile)
    git_ignored = GitIgnored(root) if rules is None and use_git else None
    keep = {dockerfile, ".dockerignore", *([ignore_file] if ignore_file else [])}
    text = _read_dockerfile(root, dockerfile) if generated is None else generated
    unsent = UNSENT_NAMES if generated is not None and rules is None else frozenset[str]()
    drop = _project_files(text, rules) - keep
    found: dict[str, Entry] = {}
    skipped: list[str] = []
    empty: set[str] = set()
    for entry in _walk(root, rules, git_ignored, unsent, keep, skipped, empty):
        if entry.path not in drop:
            found[entry.path] = entry
    for path, entry in found.items():
        if entry.kind is Kind.DIRECTORY and path not in empty:  # its time is that of its newest entry
            found[path] = replace(entry, mtime_s=OLDEST_S)
    _add_parents(root, found)
    if generated is not None:
        _add_generated(found, generated)
    entries = with_directory_mtimes(sorted(found.values(), key=lambda entry: os.fsencode(entry.path)))
    _refuse_escapes(root, entries)
    rule = _rule_text(ignore_file, git_ignored, ".git, .env, installed packages" if unsent else ".git")
    context = Context(root, dockerfile, entries, ignore_file, rule, scanned_at_ns=began_ns)
    return replace(context, notes=(*_missing(context, text), *_notes(context, skipped)))


def refuse_without_dockerfile(root: Path, dockerfile: str = DEFAULT_DOCKERFILE) -> None:
    """Check directory and Dockerfile as `scan` does, before a project is created for the directory.

    Raises:
        InputError: the directory is missing or empty; the Dockerfile is missing or outside.
    """
    _checked_dockerfile(_checked_root(root), dockerfile)


def sensitive(path: str) -> bool:
    """Whether a path's name suggests that it contains a secret."""
    name = posixpath.basename(path)
    if any(fnmatchcase(name, pattern) for pattern in HARMLESS_NAMES):
        return False
    return any(fnmatchcase(name, pattern) for pattern in SENSITIVE_NAMES)


def size_text(count: int) -> str:
    """Bytes as text, e.g. "1.5 MiB"."""
    if count < 1024:
        return f"{count} B"
    size, unit = count / 1024, "KiB"
    for bigger in ("MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, bigger
    return f"{size:.1f} {unit}"


def printable_path(path: str) -> str:
    """A path for a message; unprintable characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)


def path_list(paths: list[str]) -> str:
    """The first paths of a list for a message, and the number of others."""
    more = len(paths) - MAX_LISTED_PATHS
    return ", ".join(printable_path(path) for path in paths[:MAX_LISTED_PATHS]) + (
        f" and {more} more" if more > 0 else ""
    )


def _checked_root(root: Path) -> Path:
    try:
        absolute = root.resolve(strict=True)
        if not absolute.is_dir():
            raise InputError(f"{root} is not a directory", code="context.no_directory", field="path")
        if not any(absolute.iterdir()):
            raise InputError(f"the directory {root} is empty: nothing to build", code="context.empty", field="path")
    except FileNotFoundError:
        raise InputError(f"the directory {root} does not exist", code="context.not_found", field="path") from None
    except OSError as error:
        raise InputError(f"can't read the directory {root}: {error.strerror}", code="context.unreadable") from error
    return absolute


def _checked_dockerfile(root: Path, given: str) -> str:
    """`given` relative to the root; must be a file below it."""
    relative = posixpath.normpath(os.path.relpath(root / given, root)) if given else DEFAULT_DOCKERFILE
    path = root / relative
    inside = not relative.startswith("../") and relative != ".." and path.resolve().is_relative_to(root)
    if not inside:
        raise InputError(
            f"the Dockerfile {given} is outside the build context {root}; "
            "deploy a directory that contains both, e.g. its parent, and set --dockerfile",
            code="context.dockerfile_outside",
            field="dockerfile",
        )
    if not path.is_file():
        with os.scandir(root) as entries:
            there = sorted(e.name for e in entries if "dockerfile" in e.name.lower() and e.is_file())
        hint = (
            f"there is {path_list(there)}: use it with --dockerfile"
            if there
            else ("create one, name another with --dockerfile, or deploy a built image with --image")
        )
        wanted = relative if relative == DEFAULT_DOCKERFILE else f"file {relative!r}"
        raise InputError(f"{root} has no {wanted}; {hint}", code="context.no_dockerfile", field="dockerfile")
    return relative


def _read_rules(root: Path, dockerfile: str) -> tuple[IgnoreRules | None, str | None]:
    """The ignore file's rules and its name; None if there is none."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):  # BuildKit's order
        path = root / name
        try:
            if path.stat().st_size > MAX_IGNORE_FILE_BYTES:
                raise InputError(
                    f"{path} is larger than {size_text(MAX_IGNORE_FILE_BYTES)}", code="context.bad_ignore_file"
                )
            text = path.read_text("utf-8")
            return IgnoreRules.parse(text), name
        except (FileNotFoundError, IsADirectoryError):
            continue
        except (PatternError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: {error}", code="context.bad_ignore_file") from None
        except OSError as error:
            raise InputError(f"can't read {path}: {error.strerror}", code="context.bad_ignore_file") from None
    return None, None


def _rule_text(ignore_file: str | None, git_ignored: GitIgnored | None, never: str) -> str:
    """What was excluded, and by which rule; valid after the whole directory was scanned. `never`: is not sent."""
    if ignore_file:
        return f"filtered by {ignore_file}"
    if git_ignored is None:
        return f"no .dockerignore, --no-git: everything except {never} is sent"
    if git_ignored.is_root_ignored:
        return f"no .dockerignore, and git ignores the whole directory: everything except {never} is sent"
    if not git_ignored.has_repository:
        return f"no .dockerignore: everything except {never} is sent"
    return f"no .dockerignore: {never} and files that git ignores are excluded"


def _walk(
    root: Path,
    rules: IgnoreRules | None,
    git_ignored: GitIgnored | None,
    unsent: frozenset[str],
    keep: set[str],
    skipped: list[str],
    empty: set[str],
) -> Iterator[Entry]:
    """All paths of the context. Paths in `keep` are found even below excluded directories.

    Args:
        root: the directory.
        rules: of the ignore file; None: .git and the paths in `git_ignored` are excluded.
        git_ignored: None: git is not used.
        unsent: names that are excluded without rules.
        keep: paths that are included regardless of the rules.
        skipped: output: paths that are neither file, directory nor link.
        empty: output: empty directories.
    """
    kept_directories = {parent for path in keep for parent in parents(path)}

    def below(directory: str, parent: Matches | None, all_out: bool) -> Iterator[Entry]:
        try:
            with os.scandir(root / directory if directory else root) as listing:
                children = list(listing)
        except FileNotFoundError:  # removed after its parent was read
            return
        except OSError as error:
            raise InputError(
                f"can't read {printable_path(directory) or root}: {error.strerror}; exclude it with .dockerignore",
                code="context.unreadable",
            ) from error
        if not children:
            empty.add(directory)
        if git_ignored is not None and directory and not all_out and any(child.name == ".git" for child in children):
            git_ignored.enter(directory)
        for child in children:
            path = f"{directory}/{child.name}" if directory else child.name
            matches = parent
            if rules is not None:
                is_out, matches = rules.leaves_out(path, parent)
            else:
                is_out = all_out or child.name == ".git" or child.name in unsent
                is_out = is_out or (git_ignored is not None and path in git_ignored)
            is_directory = child.is_dir(follow_symlinks=False)
            if not is_out or path in keep:
                try:
                    entry = _entry(child, path)
                except FileNotFoundError:  # removed after its directory was read, as temporary files are
                    continue
                if entry:
                    yield entry
                else:
                    skipped.append(path)
            may_hold_more = rules is not None and rules.may_take_back_below(path)
            if is_directory and (not is_out or path in kept_directories or may_hold_more):
                yield from below(path, matches, is_out)

    yield from below("", None, all_out=False)


def _entry(child: "os.DirEntry[str]", path: str) -> Entry | None:
    """The entry of a path; None for sockets, pipes and devices."""
    try:
        info = child.stat(follow_symlinks=False)
        target = os.readlink(child.path) if stat.S_ISLNK(info.st_mode) else ""  # noqa: PTH115 - the exact text
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"can't read {printable_path(path)}: {error.strerror}", code="context.unreadable") from error
    return entry_of(path, info, target)


def _read_dockerfile(root: Path, dockerfile: str) -> str:
    try:
        with (root / dockerfile).open("rb") as file:
            return file.read(MAX_DOCKERFILE_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise InputError(
            f"can't read {printable_path(dockerfile)}: {error.strerror}", code="context.unreadable"
        ) from error


def _project_files(dockerfile_text: str, rules: IgnoreRules | None) -> set[str]:
    """The set with `sealift.toml`, empty if the Dockerfile or the ignore file names that file.

    In the context, a changed setting would invalidate all layers after `COPY . .`, and a static site would serve it.
    """
    if rules is not None and rules.takes_back_by_name(PROJECT_FILE):
        return set()
    lines = (line for line in dockerfile_text.splitlines() if not line.lstrip().startswith("#"))
    return set() if any(PROJECT_FILE in line for line in lines) else {PROJECT_FILE}


def _missing(context: Context, dockerfile_text: str) -> Iterator[str]:
    """Warn about files that the Dockerfile copies but that are excluded; the build would only report them missing."""
    there = {entry.path for entry in context.entries}
    missing = [path for path in copied_paths(dockerfile_text) if _is_left_out(context.root, path, there)]
    if not missing:
        return
    them = "it is" if len(missing) == 1 else "they are"
    if context.ignore_file:
        remedy = f"{context.ignore_file} excludes: {them} not sent. To send, add the line !{printable_path(missing[0])}"
    else:
        remedy = (
            f"git ignores: {them} not sent. Create a .dockerignore (for example with the lines .git and .env), which "
            "replaces git's rules"
        )
    yield f"the Dockerfile copies {path_list(missing)}, which {remedy}"


def _is_left_out(root: Path, path: str, there: set[str]) -> bool:
    """Whether a path exists and is excluded, by its own name or through a link in it."""
    real = os.path.relpath(os.path.realpath(root / path), root)
    return not {path, real} & there and os.path.lexists(root / path) and ".git" not in path.split("/")


def _add_parents(root: Path, found: dict[str, Entry]) -> None:
    """Add the parent directories of entries that exceptions include from an excluded directory."""
    for path in list(found):
        for parent in parents(path):
            if parent not in found:
                mode = stat.S_IMODE((root / parent).lstat().st_mode)
                found[parent] = Entry(parent, Kind.DIRECTORY, mode=mode)


def _add_generated(found: dict[str, Entry], text: str) -> None:
    if GENERATED_DOCKERFILE in found:
        raise InputError(
            f"{GENERATED_DOCKERFILE} is the place of the generated Dockerfile; name that file with --dockerfile, or "
            "rename it",
            code="context.name_taken",
            field="dockerfile",
        )
    folder = posixpath.dirname(GENERATED_DOCKERFILE)
    found.setdefault(folder, Entry(folder, Kind.DIRECTORY))
    found[GENERATED_DOCKERFILE] = generated_entry(GENERATED_DOCKERFILE, text.encode())


def _refuse_escapes(root: Path, entries: tuple[Entry, ...]) -> None:
    """Refuse links that point outside the context, because they have another target on the builder, or none.

    Checks the text and the real path, because ".." behind another link can lead elsewhere.
    """
    bad = []
    for entry in entries:
        if entry.kind is Kind.LINK:
            led = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
            leaves = entry.target.startswith("/") or led == ".." or led.startswith("../")
            if leaves or not Path(os.path.realpath(root / entry.path)).is_relative_to(root):
                bad.append(f"{entry.path} -> {entry.target}")
    if bad:
        raise InputError(
            f"symbolic links point outside the build context: {path_list(bad)}; "
            "exclude them with .dockerignore, or replace them with their targets",
            code="context.link_escapes",
        )


def _notes(context: Context, skipped: list[str]) -> Iterator[str]:
    risky = [entry.path for entry in context.files if sensitive(entry.path)]
    if risky:
        yield (
            f"the context contains files that look like secrets: {path_list(risky)}; "
            "exclude them with .dockerignore. Use `sealift env import FILE` for secrets of the app, and --secret for "
            "secrets of the build"
        )
    if context.size_bytes > LARGE_CONTEXT_BYTES:
        largest = path_list([f"{entry.path} ({size_text(entry.size_bytes)})" for entry in context.largest()])
        yield f"the context is large: {size_text(context.size_bytes)}. The largest files: {largest}"
    if skipped:
        yield f"excluded because they are neither files, directories nor links: {path_list(sorted(skipped))}"
