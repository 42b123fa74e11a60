"""The steps of the release workflows: `python3 -m dev.releasing.ci STEP ...`, in the clone that stands at the tag.

Results go to stdout as `name=value` lines, fit for GITHUB_OUTPUT. Tokens come from the environment (GHCR_TOKEN,
GITHUB_TOKEN), never from the command line.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dev.releasing import closure, distributions, notes, registry, sbom
from dev.releasing.checks import released
from dev.releasing.errors import ReleaseError
from dev.releasing.github import GitHub
from dev.releasing.image import Layout
from dev.releasing.repository import Repository
from dev.releasing.tags import CLI, last_before, parse

SIGNING_TIMEOUT_S = 45 * 60


def check(options: argparse.Namespace) -> dict[str, str]:
    """Refuses a tag that may not be released; prints what it releases."""
    tag = released(_repository(options), options.tag, options.kind)
    return {
        "name": tag.name,
        "version": str(tag.version),
        "package": f"//build/{tag.name.replace('-', '_')}",
        "prerelease": str(bool(tag.version.pre)).lower(),
    }


def write_notes(options: argparse.Namespace) -> dict[str, str]:
    """Writes the release notes to a file."""
    repository = _repository(options)
    tag = parse(options.tag)
    last = last_before(repository.tags(tag.name), tag)
    paths = closure.paths(repository.root, tag.name)
    changes = repository.changes(str(last) if last else None, f"refs/tags/{tag}", paths)
    options.out.write_text(notes.text(tag, changes, last, options.digest), encoding="utf-8")
    return {"previous": str(last or "")}


def login(options: argparse.Namespace) -> dict[str, str]:
    """Writes the registry's login to where crane and cosign look for it; no engine and no client is needed."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    registry.write_login(folder / "config.json", options.host, _login())
    return {}


def compare(options: argparse.Namespace) -> dict[str, str]:
    """Compares the built image with what the registry has under the tag. Another digest there is refused."""
    tag = parse(options.tag)
    digest = Layout(options.layout).digest
    reference = options.reference or notes.image(tag)
    there = registry.digest_of(reference, _login(), options.scheme)
    if there not in (None, digest):
        raise ReleaseError(
            f"{reference} is {there} in the registry and {digest} here; a published version never changes. "
            "Release the next version"
        )
    if there is None and options.must_exist:
        raise ReleaseError(f"{reference} is not in the registry; it should be there by now")
    return {"digest": digest, "published": str(there is not None).lower()}


def write_sbom(options: argparse.Namespace) -> dict[str, str]:
    """Writes the list of what is in the image."""
    repository = _repository(options)
    document = sbom.document(
        Layout(options.layout), parse(options.tag), repository.commit_time(f"refs/tags/{options.tag}")
    )
    options.out.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return {}


def distribute(options: argparse.Namespace) -> dict[str, str]:
    """Builds wheel and source archive at the commit's time."""
    repository = _repository(options)
    distributions.build(repository.root, options.out, repository.commit_time(f"refs/tags/{options.tag}"))
    return {}


def run_workflow(options: argparse.Namespace) -> dict[str, str]:
    """Starts a workflow of GitHub Actions at the tag and waits until it succeeded."""
    title = f"{parse(options.tag)} for {options.request}"
    inputs = dict(each.split("=", 1) for each in options.input)
    github = _github()
    return {
        "url": github.run_workflow(
            options.file, options.tag, {**inputs, "request": options.request}, title, SIGNING_TIMEOUT_S
        )
    }


def release(options: argparse.Namespace) -> dict[str, str]:
    """Makes the GitHub release with its files."""
    tag = parse(options.tag)
    text = options.notes.read_text(encoding="utf-8")
    return {"url": _github().release(str(tag), text, options.files, prerelease=bool(tag.version.pre))}


def _repository(options: argparse.Namespace) -> Repository:
    return Repository(options.root.resolve())


def _login() -> registry.Login:
    return registry.Login(os.environ.get("GHCR_USER") or "sealift", _secret("GHCR_TOKEN"))


def _github() -> GitHub:
    url = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    return GitHub(os.environ.get("GITHUB_REPOSITORY") or "sealift/sealift", _secret("GITHUB_TOKEN"), url)


def _secret(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise ReleaseError(f"{name} is not set; add it to the secrets of the workflow")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m dev.releasing.ci")
    parser.add_argument("-C", dest="root", type=Path, default=Path(), metavar="DIR", help="the clone")
    steps = parser.add_subparsers(required=True, metavar="STEP")

    def step(name: str, run: Callable[[argparse.Namespace], dict[str, str]]) -> argparse.ArgumentParser:
        made = steps.add_parser(name, help=run.__doc__, description=run.__doc__)
        made.set_defaults(run=run)
        return made

    each = step("check", check)
    each.add_argument("kind", choices=["service", CLI])
    each.add_argument("tag")
    each = step("notes", write_notes)
    each.add_argument("tag")
    each.add_argument("out", type=Path)
    each.add_argument("--digest", default="")
    each = step("login", login)
    each.add_argument("host")
    each = step("compare", compare)
    each.add_argument("tag")
    each.add_argument("layout", type=Path)
    each.add_argument("--must-exist", action="store_true")
    each.add_argument("--reference", default="", help="another place than the service's own")
    each.add_argument("--scheme", choices=["https", "http"], default="https")
    each = step("sbom", write_sbom)
    each.add_argument("tag")
    each.add_argument("layout", type=Path)
    each.add_argument("out", type=Path)
    each = step("distribute", distribute)
    each.add_argument("tag")
    each.add_argument("out", type=Path)
    each = step("run-workflow", run_workflow)
    each.add_argument("tag")
    each.add_argument("file")
    each.add_argument("--request", required=True, help="a word that no other run has")
    each.add_argument("--input", action="append", default=[], metavar="NAME=VALUE")
    each = step("release", release)
    each.add_argument("tag")
    each.add_argument("notes", type=Path)
    each.add_argument("files", type=Path, nargs="*")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused or failed, 2 the command line is wrong."""
    options = _parser().parse_args(argv)
    try:
        results: dict[str, str] = options.run(options)
    except ReleaseError as error:
        # The prefix puts it on the page of the run.
        print(f"::error::{error}", file=sys.stderr)
        return 1
    for name, value in results.items():
        print(f"{name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
