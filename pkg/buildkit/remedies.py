"""What the user can do about a failed solve, by the daemon's message and what the failed step printed. Pure.

Texts of Docker 20.10 to 28 and BuildKit up to 0.32; what package managers and shells print.
"""

import re
from collections.abc import Sequence

from pkg.builds.failures import FailureKind

MAX_QUOTED_CHARS = 200

_FROM = re.compile(r"\b(?:COPY|ADD)\b.*?\s--from=(\S+)", re.IGNORECASE)
_SYNTAX_STEP = re.compile(r"^resolve image config for (?:docker-image://)?(\S+)")
_GATEWAY = re.compile(r"frontend gateway\.v0|failed to resolve frontend", re.IGNORECASE)
_FLAG = re.compile(r"unknown flag: (?:--)?([\w.-]+)", re.IGNORECASE)
_NOT_STARTED = re.compile(
    r"(?:did not complete successfully|executor failed running \[.*?\]): (?!exit code: )(.+?)(?:: invalid argument)?$",
    re.DOTALL,
)
_FAILED_COMMAND = re.compile(
    r'executor failed running \[(?:\S+ -c )?(.+)\]: |process "(?:\S+ -c )?(.+)" did not complete', re.DOTALL
)
_ONE_WORD = re.compile(r"(?:load metadata for|^FROM) docker\.io/library/([^\s/:@]+)(?::latest)?(?=@|\s|$)")
_NO_PLATFORM = re.compile(r'failed to parse platform.*"" is an invalid|failed to parse platform : ""', re.IGNORECASE)
_NEEDS_GIT = (
    "The builder has no git: let the operator install it on its machine, or fetch an archive of the repository instead"
)
_SET_PLATFORM = (
    "FROM --platform names a variable without a value. $BUILDPLATFORM and $TARGETPLATFORM have one without an ARG: an "
    "ARG of that name before the first FROM takes it away, so remove it; give other variables a value"
)
_INSTRUCTION = re.compile(r"unknown instruction: (\S+)", re.IGNORECASE)

# The first one that fits counts; each names a cause that the daemon's message alone leaves open.
_PULL = (
    (
        r"toomanyrequests|429 too many requests|rate limit",
        "The registry's limit of pulls is reached: wait, or let the operator set up a mirror",
    ),
    (
        r"x509|certificate",
        (
            "The builder does not trust the registry's certificate: the operator has to install its "
            "authority on the engine"
        ),
    ),
    (
        (
            r"no such host|dial tcp|i/o timeout|connection refused|network is unreachable"
            r"|tls handshake timeout|server misbehaving|deadline exceeded"
        ),
        "The builder can't reach the registry: check the name of its host, and the engine's network and proxy",
    ),
    (
        (
            r"pull access denied|401 unauthorized|403 forbidden|authorization failed"
            r"|authentication required|insufficient_scope|unauthorized"
        ),
        (
            "There is no such image, or it needs a login, which is not supported: check its name, or use "
            "an image that can be pulled without one"
        ),
    ),
    (
        r"50\d (?:internal server error|bad gateway|service unavailable|gateway timeout)",
        "The registry has a fault of its own: try again later",
    ),
    (
        r"manifest unknown|not found|no match for platform|404",
        "There is no such image or tag: check its name, tag and platform",
    ),
)
_INVALID = (
    (r"must be lowercase", "Names of images are in lower case: write it so"),
    (
        r"invalid stage index",
        "COPY --from names a stage that comes later or never. Count the stages from 0, or name them",
    ),
    (
        r"invalid user index|/etc/(?:passwd|group): no such file",
        "--chown names a user or group which the image does not know: make it in a step before, or use its number",
    ),
    (
        r"base name .*should not be blank|invalid reference format",
        "FROM names no image: give the ARG before it a value, or pass one with --build-arg",
    ),
    (r"cannot be empty|no instructions|no build stage", "Begin it with FROM"),
    (
        r"(network\.host|security\.insecure) is not allowed",
        "Builds get neither the machine's network nor its rights: leave --network=host and --security=insecure out",
    ),
    (r"dockerfile.*\bheredoc|unterminated heredoc", "End each heredoc with its word alone on a line"),
    (
        r"--chmod option requires|the --mount option requires",
        "This builder does not know that option: leave it out, or update its BuildKit",
    ),
)
# What the output of a failed command says.
_OUTPUT = (
    (
        r'exec: "/bin/sh": stat /bin/sh: no such file',
        "The image has no /bin/sh, as those made FROM scratch: run it in a stage that has one and COPY --from there, "
        'or name a program that the image has (RUN ["/program", "argument"])',
    ),
    (
        r'exec: "[^"]+": (?:stat \S+: no such file|executable file not found)',
        "A program of it is not in the image: install it in a step before, or check its name and PATH",
    ),
    (r"unable to find user|unable to find group", "Make that user or group in a step before, or use its number"),
    (
        (
            r"temporary failure in name resolution|temporary failure resolving|could not resolve host"
            r"|EAI_AGAIN|getaddrinfo ENOTFOUND"
            r"|name or service not known|bad address '|NameResolutionError|no such host"
            r"|unable to resolve host address"
        ),
        "A name could not be resolved: the build has no network there, or no working DNS",
    ),
    (
        (
            r"connection timed out|network is unreachable|ETIMEDOUT|ENETUNREACH|ConnectTimeoutError"
            r"|connection refused.*proxy|failed to establish a new connection"
        ),
        "The network could not be reached: check the address, and the engine's network and proxy",
    ),
    (
        r"/dev/shm.*(no space left on device|ENOSPC)",  # noqa: S108 - a text that programs print
        "Shared memory (/dev/shm) of a build step holds 64 MiB: use files, or mount a tmpfs elsewhere in that RUN",
    ),
    (
        r"no space left on device|ENOSPC|disk quota exceeded",
        "The builder's disk is full: let the operator free space there",
    ),
    (
        r"exec format error",
        (
            "A program is of another kind of processor: choose a base image and files of the builder's "
            "platform, or set --platform"
        ),
    ),
    (
        r"\^M: bad interpreter|\\r: command not found|\$'\\r'|/bin/(?:ba)?sh\r",
        "A script has Windows line ends: save it with LF (git: text eol=lf)",
    ),
    (
        r"(?:fork|pthread_create|create (?:new )?(?:native )?thread)\b.*resource temporarily unavailable|can't fork",
        "It started more processes and threads than builds may have ([builds] pids): let it start fewer",
    ),
    (
        r"javascript heap out of memory|MemoryError|std::bad_alloc|cannot allocate memory",
        "It ran out of memory: let it use less",
    ),
)
_EXIT_CODES = {
    126: "A program of it may not be executed: check its mode (chmod +x), and that it is a program",
    127: (
        "A program of it is not in the image: install it in a step before, or check its name and PATH. A script that "
        "is there has Windows line ends (save it with LF), or its first line names a program that is not"
    ),
    139: "It crashed (signal 11): a program may be of another platform or C library than the image",
}


def cause(text: str) -> str:
    """Why a command was not even started, in the daemon's words; "" for one that ended by itself."""
    found = _NOT_STARTED.search(text)
    return found[1] if found else ""


def failed_run(text: str) -> str:
    """The step of a command that failed, "RUN ...", from the daemon's message; "" when it was no command."""
    found = _FAILED_COMMAND.search(text)
    return f"RUN {found[1] or found[2]}" if found else ""


def stage_of(step: str) -> str:
    """The stage or image that a COPY --from takes its files from; "" for other steps."""
    found = _FROM.search(step)
    return found[1] if found else ""


def syntax_image(step: str, text: str) -> str:
    """The image of a `# syntax=` line that could not be fetched; "" when the failure is another one."""
    found = _SYNTAX_STEP.search(step)
    return found[1] if found else "of the # syntax= line" if _GATEWAY.search(text) else ""


def remedy(
    kind: FailureKind, *, text: str, step: str = "", exit_code: int | None = None, output: Sequence[str] = ()
) -> str:
    """The next step; "" when nothing more is known than the kind."""
    if kind in (FailureKind.BASE_IMAGE, FailureKind.REGISTRY_AUTH):
        return _first(_PULL, text) + _of_stage(step)
    if kind is FailureKind.FETCH_FAILED and "unknown scheme git" in text:
        return _NEEDS_GIT
    if kind is FailureKind.PLATFORM and _NO_PLATFORM.search(text):
        return _SET_PLATFORM
    if kind is FailureKind.DOCKERFILE_INVALID:
        return _of_dockerfile(text) or _first(_INVALID, text)
    if kind is FailureKind.COMMAND_FAILED:
        line = next((line for line in (*reversed(output), cause(text)) if _first(_OUTPUT, line)), "")
        return (
            f"{_first(_OUTPUT, line)} ({line.strip()[:MAX_QUOTED_CHARS]})"
            if line
            else _EXIT_CODES.get(exit_code or 0, "")
        )
    return ""


def _of_stage(step: str) -> str:
    """For an image with a name of one word: whoever mistypes a stage in COPY --from asks Docker Hub for it."""
    found = _ONE_WORD.search(step)
    if not found:
        return ""
    return f". If {found[1]!r} is to be a stage of this Dockerfile: none has that name (FROM ... AS {found[1]})"


def _of_dockerfile(text: str) -> str:
    if flag := _FLAG.search(text):
        return (
            f"This builder does not know --{flag[1]}: leave it out, or update its BuildKit (--link and --chmod need "
            "Docker 23 or later, or a # syntax= line with a registry in reach)"
        )
    if word := _INSTRUCTION.search(text):
        return (
            f"{word[1]} begins no instruction: perhaps the line before lacks a \\ at the end. If it is the text of a "
            "heredoc (<<EOF), this builder does not know those, like all of Docker below 23: join the commands with && "
            "and \\"
        )
    return ""


def _first(table: Sequence[tuple[str, str]], text: str) -> str:
    return next((remedy for pattern, remedy in table if re.search(pattern, text, re.IGNORECASE)), "")
