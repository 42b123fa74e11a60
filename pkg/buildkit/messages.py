"""Messages to users about failed solves: what happened and the next step. Pure."""

import re
from dataclasses import dataclass, replace

from pkg.buildkit import remedies
from pkg.builds import bounds
from pkg.builds.failures import FailureKind

_KILLED = 137  # 128 + SIGKILL
_IMAGE = re.compile(r"^(?:\[internal\] load metadata for|FROM) (\S+)")
# where the builder has the context or a stage while it looks for a file
_MOUNT = re.compile(r"/\S*/(?:buildkit-mount\d+|overlay2/\w+/merged)")
# said by {at} already
_POSITION = re.compile(r"^dockerfile parse error (?:on )?line:? \d+: ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the build and its failure.

    Attributes:
        text: the daemon's message, redacted.
        failed_step: name of the step, or "".
        line: of the Dockerfile, when known.
        exit_code: of the command, when one failed.
        memory_mib: what builds may use, if they ran out of it; else 0.
        output: the last lines that the failed step printed, redacted.
    """

    text: str = ""
    failed_step: str = ""
    line: int | None = None
    exit_code: int | None = None
    output: tuple[str, ...] = ()
    dockerfile_path: str = "Dockerfile"
    target: str = ""
    platform: str = ""
    timeout_s: float = 0
    memory_mib: int = 0


_TEMPLATES = {
    FailureKind.COMMAND_FAILED: (
        "{step}{at} ended with {ended}. Its output is in the build log. {remedy}, then try again"
    ),
    FailureKind.DOCKERFILE_MISSING: (
        "there is no {f.dockerfile_path} in the build context. Add it, or name another file with --dockerfile"
    ),
    FailureKind.DOCKERFILE_INVALID: "{f.dockerfile_path}{at} is not valid: {text}. {remedy}, then try again",
    FailureKind.TARGET_MISSING: "{f.dockerfile_path} has no stage {f.target!r}. Name one of its stages as the target",
    FailureKind.FILE_MISSING: (
        "{step}{at} needs a file that the build context does not have: {f.text}."
        " Check the path, and that it is sent: .dockerignore, or without one what git ignores, may leave it out;"
        " `sealift deploy --dry-run` lists what is sent"
    ),
    FailureKind.BASE_IMAGE: ("{image} could not be fetched: {text}. {remedy}"),
    FailureKind.REGISTRY_AUTH: ("a registry refused to hand out {image}: {text}. {remedy}"),
    FailureKind.SECRET_MISSING: (
        "{step}{at} asks for a build secret that was not given: {f.text}. Pass it with --secret"
    ),
    FailureKind.FETCH_FAILED: "{step}{at} could not download what it needs: {f.text}. {remedy}",
    FailureKind.PLATFORM: ("the platform does not fit: {f.text}. {remedy}"),
    FailureKind.TIMED_OUT: (
        "the build did not end within {f.timeout_s:g} s and was stopped."
        " Make it shorter, or let the operator raise the limit (limits.build_timeout_s)"
    ),
    FailureKind.BUILDER_AUTH: "the builder refuses the credentials of this installation: {f.text}",
    FailureKind.BUILDER_NOT_FOUND: "the builder does not know what the build needs: {f.text}",
    FailureKind.BUILDER_QUOTA: "a limit at the builder is reached: {f.text}",
    FailureKind.CONTEXT_UNAVAILABLE: "the builder could not fetch the build context: {f.text}",
    FailureKind.DISK_FULL: "the builder's disk is full: free space there, then try again",
    FailureKind.BUILDER_LOST: "the connection to the builder was lost: {f.text}",
    FailureKind.DISK_LIMIT: "{step}{at} was ended: {bound}. {remedy}, then try again",
    FailureKind.PIDS_LIMIT: "{step}{at} was ended: {bound}. {remedy}, then try again",
    FailureKind.UNKNOWN: "the build failed: {f.text}",
}
_REMEDIES = {
    FailureKind.DISK_LIMIT: "Let it write less, or let the operator change the setting",
    FailureKind.PIDS_LIMIT: "Let it start fewer, or let the operator raise the setting",
    FailureKind.FETCH_FAILED: "Check the address",
    FailureKind.PLATFORM: "Choose one that the base image offers and the builder can run",
    FailureKind.COMMAND_FAILED: "Fix the command or what it needs",
    FailureKind.DOCKERFILE_INVALID: "Correct it",
    FailureKind.BASE_IMAGE: "Check its name, and that the builder can reach its registry",
    FailureKind.REGISTRY_AUTH: "Check its name, and that it can be pulled without a login",
}
_MISSING_IN_STAGE = (
    "{step}{at} takes a file from {stage!r} that is not there: {f.text}."
    " The build context has no part in it: check what the steps of {stage!r} make, and the path"
)
_SYNTAX_IMAGE = (
    "the image {syntax} that reads the Dockerfile (its # syntax= line) could not be fetched: {text}. {remedy}; or"
    " remove that line: the builder's own reader is used then"
)
_OUT_OF_MEMORY = (
    "{step}{at} ran out of memory and was killed (exit code 137): all builds together may use {f.memory_mib} MiB."
    " Let it use less, or let the operator raise [builds] memory_mib, then try again"
)
_KILLED_FOR_UNKNOWN_REASON = (
    "{step}{at} was killed (exit code 137). Its output is in the build log. If that says nothing of it, the operator"
    " finds in the builder's kernel log whether memory ran out"
)


def explain(kind: FailureKind, facts: Facts) -> str:
    """One to three sentences for the user."""
    facts = replace(facts, text=_MOUNT.sub("", facts.text))
    image = _IMAGE.search(facts.failed_step)
    stage = remedies.stage_of(facts.failed_step)
    syntax = remedies.syntax_image(facts.failed_step, facts.text)
    known = remedies.remedy(
        kind, text=facts.text, step=facts.failed_step, exit_code=facts.exit_code, output=facts.output
    )
    hit = bounds.find(facts.output)
    # others who meet a kind that no solve has say it in words of their own
    template = _TEMPLATES.get(kind, _TEMPLATES[FailureKind.UNKNOWN])
    if kind is FailureKind.COMMAND_FAILED and facts.exit_code == _KILLED:
        template = _OUT_OF_MEMORY if facts.memory_mib else _KILLED_FOR_UNKNOWN_REASON
    elif kind is FailureKind.FILE_MISSING and stage:
        template = _MISSING_IN_STAGE
    elif kind in (FailureKind.BASE_IMAGE, FailureKind.REGISTRY_AUTH) and syntax:
        template = _SYNTAX_IMAGE
    return template.format(
        f=facts,
        text=_POSITION.sub("", facts.text) if facts.line else facts.text,
        image=f"the image {image[1]}" if image else "an image",
        step=f"the step {facts.failed_step!r}" if facts.failed_step else "a step",
        at=f" (line {facts.line})" if facts.line else "",
        ended=_error(facts.text) if facts.exit_code is None else f"exit code {facts.exit_code}",
        stage=stage,
        bound=hit.why if hit else facts.text,
        syntax=syntax,
        remedy=known or _REMEDIES.get(kind, ""),
    )


def _error(text: str) -> str:
    cause = remedies.cause(text)
    return f"an error: {cause}" if cause else "an error"
