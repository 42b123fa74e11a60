"""The plan of a deploy or a build, from options, `sealift.toml` and git. Pure, except that secrets are read."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from sealift.cli.buildplan.model import BuildPlan
from sealift.cli.format.text import clean
from sealift.cli.project.project_file import ProcessSection, ProjectFile, ReleaseSection, RunSection
from sealift.client.ci import ci_avatar, ci_branch
from sealift.client.context import DEFAULT_DOCKERFILE, size_text
from sealift.client.errors import InputError
from sealift.client.git import GitInfo

MAX_BUILD_ARGS = 64
MAX_SECRETS = 32
MAX_SECRET_BYTES = 64 << 10
DEFAULT_BRANCH = "main"
PLATFORMS = ("linux/amd64", "linux/arm64")
_SECRET_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class Plan:
    """One deploy, or one build without a deployment.

    Attributes:
        project: slug or id; "" for that of the build `build_id`.
        environment: slug; "" for a build.
        branch: None: from git, else from the CI system, else main.
        commit: None: from git.
        use_git: whether to read commit, branch and ignored files from git.
        git: facts about the commit; set by `with_git`.
        author_avatar_url: of the commit's author, if the CI system names it; set by `with_git`, else "".
        branch_note: the source of the branch if git has none checked out; set by `with_git`, else "".
        image: image reference; None: build from source, or `build_id`.
        build_id: of an earlier build; None: build from source, or `image`.
        dockerfile: relative to the context.
        build_plan: how the app is built without a Dockerfile, which is then generated; else None.
        build_args: name -> value.
        secrets: id -> value; not in repr.
        target: stage to build; None: the last.
        platform: "linux/amd64" or "linux/arm64"; None: the builder's own.
        no_cache: run every step of the build.
        run, release: settings that override the environment's.
        processes: those beside web, by name; None: neither sealift.toml nor a Procfile says.
        takes_procfile: they are those of the Procfile.
        variables: defaults that the environment's variables override.
        idempotency_key: given by the user; None: generate one.
    """

    project: str
    environment: str
    branch: str | None = None
    commit: str | None = None
    use_git: bool = True
    git: GitInfo = field(default_factory=GitInfo)
    author_avatar_url: str = ""
    branch_note: str = ""
    image: str | None = None
    build_id: str | None = None
    dockerfile: str = DEFAULT_DOCKERFILE
    build_plan: BuildPlan | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    target: str | None = None
    platform: str | None = None
    no_cache: bool = False
    run: RunSection = field(default_factory=RunSection)
    release: ReleaseSection = field(default_factory=ReleaseSection)
    processes: Mapping[str, ProcessSection] | None = None
    takes_procfile: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None

    @property
    def has_image(self) -> bool:
        """Whether the image exists, so that nothing is built."""
        return bool(self.image or self.build_id)

    @property
    def generated_dockerfile(self) -> str | None:
        """The text of the generated Dockerfile; None if the app has one."""
        return self.build_plan.dockerfile if self.build_plan else None

    def build_lines(self) -> list[str]:
        """How the app is built without a Dockerfile, in a few lines for people."""
        if self.build_plan is None:
            return []
        lines = [f"no Dockerfile: {self.build_plan.sentence()}", *self.build_plan.notes]
        if self.build_plan.processes and self.takes_procfile:
            lines.append(f"starts {', '.join(self.build_plan.processes)} beside it (Procfile)")
        return lines

    def with_build_plan(self, build_plan: BuildPlan) -> "Plan":
        """The plan with a generated Dockerfile, and the release command of the app's Procfile if none is set.

        Raises:
            InputError: a stage of a Dockerfile is asked for.
        """
        if self.target:
            raise InputError(
                f"there is no stage {self.target!r:.80}: the app has no Dockerfile, so one is generated. Omit --target "
                "and [build] target, or write a Dockerfile",
                field="target",
            )
        release = self.release
        if build_plan.release and release.words() is None:
            release = msgspec.structs.replace(release, command=list(build_plan.release))
        found = replace(self, build_plan=build_plan, release=release)
        if self.processes is not None or not build_plan.processes:
            return found
        processes = {name: ProcessSection(command=list(words)) for name, words in build_plan.processes.items()}
        return replace(found, processes=processes, takes_procfile=True)

    def with_git(self, git: GitInfo, env: Mapping[str, str] = os.environ) -> "Plan":
        """The plan with the facts from git and a branch: the given one, else git's, the CI system's, or main."""
        avatar = ci_avatar(env, git.commit_sha)
        if branch := self.branch or git.branch:
            return replace(self, git=git, author_avatar_url=avatar, branch=branch)
        why = "HEAD is detached" if git.is_detached else "git has no branch here"
        if found := ci_branch(env):
            note = f"{why}: using the branch {clean(found.name)} from {found.variable} ({found.system})"
            return replace(self, git=git, author_avatar_url=avatar, branch=found.name, branch_note=note)
        note = f"{why}: using the branch {DEFAULT_BRANCH}; set another one with --branch" if git.is_detached else ""
        return replace(self, git=git, author_avatar_url=avatar, branch=DEFAULT_BRANCH, branch_note=note)

    def title(self) -> str:
        """One line for people."""
        commit = (self.git.commit_sha or "")[:7]
        dirty = ", uncommitted changes" if self.git.is_dirty else ""
        at = f" ({commit}{dirty})" if commit else ""
        parts = [self.project, self.environment, f"{self.branch or DEFAULT_BRANCH}{at}", self.image or self.build_id]
        return clean(" · ".join(" ".join(part.split()) for part in parts if part))


def checked_commit(option: str | None) -> str | None:
    """The value of --commit, checked.

    Raises:
        InputError: not 7..64 lower-case hex digits.
    """
    if option is not None and not _COMMIT.fullmatch(option):
        raise InputError(f"--commit {option!r} is not a commit hash: use 7 to 64 lower-case hex digits", field="commit")
    return option


def checked_platform(option: str | None, file: ProjectFile) -> str | None:
    """The platform of --platform, else of the file; None, the builder's own, also for "dynamic".

    Raises:
        InputError: it is not one.
    """
    text = option or (file.build.platform if isinstance(file.build.platform, str) else "")
    name = text.removeprefix("/")
    if name in ("", "dynamic"):
        return None
    if name not in PLATFORMS:
        raise InputError(
            f"{'--platform' if option else '[build] platform'} {text!r:.80} is not supported: use "
            f"{' or '.join(PLATFORMS)}, or leave it out for the builder's own",
            field="platform",
        )
    return name


def build_args(options: Sequence[str], file: ProjectFile) -> dict[str, str]:
    """The file's build arguments, overridden by the options.

    Raises:
        InputError: an option is not NAME=VALUE, or there are more than 64.
    """
    found = dict(file.build.args)
    for option in options:
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise InputError(f"--build-arg {option!r} is not NAME=VALUE", field="build-arg")
        found[name] = value
    if len(found) > MAX_BUILD_ARGS:
        raise InputError(f"there are {len(found)} build arguments, the limit is {MAX_BUILD_ARGS}", field="build-arg")
    return found


def read_secrets(options: Sequence[str], env: Mapping[str, str] = os.environ) -> dict[str, bytes]:
    """The values of the build secrets. Messages contain sources, never values.

    Raises:
        InputError: an option is not `id=X,env=NAME` or `id=X,src=FILE`, or its source is missing, empty or too large.
    """
    found: dict[str, bytes] = {}
    for option in options:
        parts = dict(part.partition("=")[::2] for part in option.split(","))
        ident, sources = parts.pop("id", ""), {k: v for k, v in parts.items() if k in ("env", "src") and v}
        if not _SECRET_ID.fullmatch(ident) or len(sources) != 1 or len(parts) != 1:
            shown = ident if _SECRET_ID.fullmatch(ident) else "?"
            raise InputError(
                f"--secret (id {shown}) is not id=NAME,env=VARIABLE or id=NAME,src=FILE; "
                "values are not accepted on the command line",
                field="secret",
            )
        if ident in found:
            raise InputError(f"--secret id={ident} is given twice", field="secret")
        found[ident] = _read_secret(ident, sources, env)
    if len(found) > MAX_SECRETS:
        raise InputError(f"there are {len(found)} secrets, the limit is {MAX_SECRETS}", field="secret")
    return found


def _read_secret(ident: str, sources: Mapping[str, str], env: Mapping[str, str]) -> bytes:
    if name := sources.get("env"):
        if name not in env:
            raise InputError(f"--secret id={ident}: the variable {name} is not set", field="secret")
        value, where = os.fsencode(env[name]), f"the variable {name}"
    else:
        path = Path(sources["src"]).expanduser()
        try:
            with path.open("rb") as file:
                value, where = file.read(MAX_SECRET_BYTES + 1), str(path)
        except OSError as error:
            raise InputError(f"--secret id={ident}: can't read {path}: {error.strerror}", field="secret") from None
    if not value:
        raise InputError(f"--secret id={ident}: {where} is empty", field="secret")
    if len(value) > MAX_SECRET_BYTES:
        raise InputError(f"--secret id={ident}: {where} is larger than {size_text(MAX_SECRET_BYTES)}", field="secret")
    return value
