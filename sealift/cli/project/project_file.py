"""Reads `sealift.toml`, the typed configuration of a project. All problems are reported at once.

project = "hello"            # slug or id
environment = "production"
branch = "main"              # default: from git
dockerfile = "Dockerfile"

[build]
target = "runtime"
args = { PYTHON = "3.11" }
kind = "python"              # without a Dockerfile, if the app may be several: or "node", "go", "static"

[run]                        # defaults: settings of the environment
port = 8080
memory_mib = 512
disk_mib = 10240
cpu_millicores = 1000
protocol = "http1"           # or "h2c": HTTP/2 without TLS, as gRPC servers speak it
replicas = 1                 # or min_replicas, max_replicas and target_cpu_percent
command = ["python", "app.py"]

[run.health_check]
path = "/healthz"

[release]                    # runs once per deploy, before anything of it starts
command = "python manage.py migrate"
timeout_s = 600

[processes]                  # of the same image and variables, without routes
worker = "python worker.py"

[processes.clock]            # resources: those of [run], unless they are here
command = ["python", "clock.py"]
replicas = 1

[env]                        # no secrets; `sealift env set` overrides it
LOG_LEVEL = "info"
"""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sealift.cli.buildplan.processes import MAX_PROCESSES, command_words, process_name_problem
from sealift.client.errors import InputError

FILE_NAME = "sealift.toml"
MAX_SLUG_CHARS = 40
SLUG_RULE = f"1 to {MAX_SLUG_CHARS} of a-z, 0-9 and single hyphens"
_SLUG = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
_PROJECT_ID = re.compile("proj_[a-z0-9]{1,60}")
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]{0,127}")
MAX_BYTES = 1 << 20
DEFAULT_ENVIRONMENT = "production"

Text = Annotated[str, Meta(min_length=1, max_length=512)]
Word = Annotated[str, Meta(max_length=4096)]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Base of a table of the file: unknown keys are refused."""


class HealthCheckSection(Section, frozen=True, kw_only=True):
    """The health check; 0 or "" is the server's default."""

    path: Annotated[str, Meta(max_length=1024, pattern="^(/.*)?$")] = ""
    interval_ms: Annotated[int, Meta(ge=100, le=60_000)] | UnsetType = UNSET
    timeout_ms: Annotated[int, Meta(ge=100, le=30_000)] | UnsetType = UNSET
    start_timeout_s: Annotated[int, Meta(ge=1, le=900)] | UnsetType = UNSET


class BuildSection(Section, frozen=True, kw_only=True):
    """How the image is built."""

    args: Annotated[dict[Text, Word], Meta(max_length=64)] = msgspec.field(default_factory=dict)
    target: Text | UnsetType = UNSET
    platform: Text | UnsetType = UNSET
    kind: Literal["python", "node", "go", "static"] | UnsetType = UNSET
    go_package: Text | UnsetType = UNSET
    base_python: Text | UnsetType = UNSET
    base_node: Text | UnsetType = UNSET
    base_go: Text | UnsetType = UNSET
    base_go_run: Text | UnsetType = UNSET
    base_static: Text | UnsetType = UNSET


class RunSection(Section, frozen=True, kw_only=True):
    """How the app is run; absent keys are taken from the environment."""

    port: Annotated[int, Meta(ge=1, le=65_535)] | UnsetType = UNSET
    protocol: Literal["http1", "h2c"] | UnsetType = UNSET
    memory_mib: Annotated[int, Meta(ge=16, le=262_144)] | UnsetType = UNSET
    disk_mib: Annotated[int, Meta(ge=16, le=1_048_576)] | UnsetType = UNSET
    cpu_millicores: Annotated[int, Meta(ge=50, le=64_000)] | UnsetType = UNSET
    replicas: Annotated[int, Meta(ge=1, le=20)] | UnsetType = UNSET
    min_replicas: Annotated[int, Meta(ge=1, le=20)] | UnsetType = UNSET
    max_replicas: Annotated[int, Meta(ge=1, le=20)] | UnsetType = UNSET
    target_cpu_percent: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    command: Annotated[list[Word], Meta(max_length=64)] | UnsetType = UNSET
    health_check: HealthCheckSection | UnsetType = UNSET


class ReleaseSection(Section, frozen=True, kw_only=True):
    """What runs once per deploy, before anything of it starts; absent keys are taken from the environment."""

    command: Annotated[str, Meta(max_length=4096)] | Annotated[list[Word], Meta(max_length=64)] | UnsetType = UNSET
    timeout_s: Annotated[int, Meta(ge=1, le=3600)] | UnsetType = UNSET

    def words(self) -> list[str] | None:
        """The command as a list; None: not set. A line is split, and gets a shell only if it needs one."""
        if not isinstance(self.command, str):
            return list(self.command) if isinstance(self.command, list) else None
        return list(command_words(self.command)) if self.command.strip() else []


class ProcessSection(Section, frozen=True, kw_only=True):
    """A process beside web."""

    command: Annotated[list[Word], Meta(min_length=1, max_length=64)]
    replicas: Annotated[int, Meta(ge=0, le=20)] | UnsetType = UNSET
    memory_mib: Annotated[int, Meta(ge=16, le=262_144)] | UnsetType = UNSET
    disk_mib: Annotated[int, Meta(ge=16, le=1_048_576)] | UnsetType = UNSET
    cpu_millicores: Annotated[int, Meta(ge=50, le=64_000)] | UnsetType = UNSET


class ProjectFile(Section, frozen=True, kw_only=True):
    """The whole file."""

    project: Text | UnsetType = UNSET
    environment: Text | UnsetType = UNSET
    branch: Text | UnsetType = UNSET
    dockerfile: Text | UnsetType = UNSET
    build: BuildSection = BuildSection()
    run: RunSection = RunSection()
    release: ReleaseSection = ReleaseSection()
    processes: dict[str, ProcessSection] | UnsetType = UNSET
    env: Annotated[dict[str, str], Meta(max_length=256)] = msgspec.field(default_factory=dict)


MAX_SHOWN_CHARS = 80
_TOML_TYPE_NAMES = {
    "array": "a list", "str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false",
    "object": "a table",
}  # fmt: skip

T = TypeVar("T", bound=Section)


def load(directory: Path) -> ProjectFile:
    """The file in `directory`; an empty one if it does not exist.

    Raises:
        InputError: unreadable or invalid; the message lists all problems.
    """
    path = directory / FILE_NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than 1 MiB", code="config.invalid")
        return parse(path.read_bytes().decode("utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return ProjectFile()
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text", code="config.invalid") from None
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}", code="config.invalid") from error


def find(start: Path | None = None) -> ProjectFile:
    """The file in `start` (None: here) or the nearest parent directory; an empty one if there is none.

    Raises:
        InputError: the directory was removed or can't be read, or the file is invalid.
    """
    try:
        start = (start or Path.cwd()).resolve()
        holder = next((path for path in (start, *start.parents) if (path / FILE_NAME).is_file()), None)
    except OSError as error:
        raise InputError(
            f"can't search for {FILE_NAME} here: {error.strerror}; change the directory, or use --project and --env",
            code="config.invalid",
        ) from None
    return load(holder) if holder else ProjectFile()


def is_slug(text: str) -> bool:
    """Whether `text` is a valid project slug, by the server's rule."""
    return len(text) <= MAX_SLUG_CHARS and _SLUG.fullmatch(text) is not None


def project_ref(option: str | None) -> str:
    """The project from --project or SEALIFT_PROJECT, else from the nearest sealift.toml.

    Raises:
        InputError: neither names one.
    """
    found = option or find().project
    return checked_project(found if isinstance(found, str) else None)


def checked_project(ref: str | None) -> str:
    """A project reference, checked.

    Raises:
        InputError: it is missing, or neither a slug nor an id; the message says how to set one.
    """
    if not ref:
        raise InputError(
            'no project: use --project, set SEALIFT_PROJECT, or write project = "..." in sealift.toml '
            "(sealift init does)",
            code="config.no_project",
            field="project",
        )
    if not is_slug(ref) and not _PROJECT_ID.fullmatch(ref):
        raise InputError(f"the project {ref!r:.80} is neither a slug ({SLUG_RULE}) nor an id", field="project")
    return ref


def environment_slug(option: str | None) -> str:
    """The environment from --env or SEALIFT_ENV, else from the nearest sealift.toml, else production.

    Raises:
        InputError: it is not a slug.
    """
    found = option or find().environment
    return checked_environment(found if isinstance(found, str) else DEFAULT_ENVIRONMENT)


def checked_environment(slug: str) -> str:
    """An environment slug, checked.

    Raises:
        InputError: it is not a valid slug.
    """
    if not is_slug(slug):
        raise InputError(f"the environment {slug!r:.80} is not a valid slug: use {SLUG_RULE}", field="environment")
    return slug


def parse(text: str, name: str = FILE_NAME) -> ProjectFile:
    """The file from its text.

    Raises:
        InputError: invalid; the message lists all problems.
    """
    import tomli

    try:
        raw = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise InputError(f"{name} is not valid TOML: {error}", code="config.invalid") from None
    problems: list[str] = []
    parsed = _section(raw, ProjectFile, "", problems)
    problems += _contradictions(parsed.run)
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise InputError(f"{name} has {_count(len(problems))}:{listed}", code="config.invalid")
    return parsed


def _section(raw: Mapping[str, Any], kind: type[T], prefix: str, problems: list[str]) -> T:
    """A table of the file; its problems are appended to `problems`."""
    from difflib import get_close_matches

    hints = get_type_hints(kind, include_extras=True)
    good: dict[str, Any] = {}
    for key, value in raw.items():
        where = f"{prefix}{key}"
        if key not in hints:
            near = get_close_matches(key, hints, 1, 0.6)
            problems.append(f"{where}: unknown key" + (f"; did you mean {near[0]!r}?" if near else ""))
            continue
        section = _section_type(hints[key])
        if section and isinstance(value, dict):
            good[key] = _section(value, section, f"{where}.", problems)
            continue
        if where == "processes" and isinstance(value, dict):
            good[key] = _processes(value, problems)
            continue
        if where == "env" and isinstance(value, dict):
            good[key] = _variables(value, problems)
            continue
        try:
            good[key] = msgspec.convert(value, hints[key])
        except msgspec.ValidationError as error:
            problems.append(
                f"{where}: {_toml_message(str(error), where)} (it is {_shown(value)})"
                f"{_correction(where, value, hints[key])}"
            )
    return kind(**good)


def _contradictions(run: RunSection) -> list[str]:
    """Numbers of instances that exclude each other; the server checks them with those of the environment."""
    given = {
        name: value
        for name in ("min_replicas", "max_replicas", "target_cpu_percent")
        if (value := getattr(run, name)) is not UNSET
    }
    if run.replicas is not UNSET and given:
        names = " and ".join(f"{name} ({value})" for name, value in given.items())
        return [f"run.replicas: replicas ({run.replicas}) is a fixed number, {names} are bounds; remove one kind"]
    low, high = given.get("min_replicas"), given.get("max_replicas")
    if low is not None and high is not None and low > high:
        return [f"run.min_replicas: min_replicas ({low}) is greater than max_replicas ({high})"]
    return []


def _variables(raw: Mapping[str, Any], problems: list[str]) -> dict[str, str]:
    """The variables of [env]. Integers are converted to text; the text of other types would be ambiguous."""
    good = {}
    for name, value in raw.items():
        if not _VARIABLE.fullmatch(name):
            problems.append(f"env.{name:.80}: names contain A-Z, a-z, 0-9 and _, and don't start with a digit")
        elif isinstance(value, bool) or not isinstance(value, str | int):
            problems.append(f"env.{name}: must be a quoted string (it is {value!r:.80})")
        else:
            good[name] = str(value)
    return good


def _processes(raw: Mapping[str, Any], problems: list[str]) -> dict[str, ProcessSection]:
    """The processes of [processes]: a command line, or a table."""
    good = {}
    if len(raw) > MAX_PROCESSES:
        problems.append(f"processes: there are {len(raw)}, at most {MAX_PROCESSES} are allowed")
    for name, value in raw.items():
        where = f"processes.{name:.80}"
        if problem := process_name_problem(name):
            problems.append(f"{where}: {problem}")
        elif isinstance(value, str):
            if value.strip():
                good[name] = ProcessSection(command=list(command_words(value)))
            else:
                problems.append(f"{where}: the command is empty")
        elif not isinstance(value, dict):
            problems.append(
                f"{where}: expected a command line in quotes, or a table with command (it is {_shown(value)})"
            )
        elif "command" not in value:
            problems.append(f"{where}.command: is required: it says what the process runs")
        else:
            found = list(problems)
            section = {**value}
            if isinstance(section["command"], str) and section["command"].strip():
                section["command"] = list(command_words(section["command"]))
            made = _process(section, where, problems)
            if problems == found and made is not None:
                good[name] = made
    return good


def _process(raw: Mapping[str, Any], where: str, problems: list[str]) -> ProcessSection | None:
    try:
        return _section(raw, ProcessSection, f"{where}.", problems)
    except TypeError:  # its command is among the problems
        return None


def _correction(where: str, value: object, hint: Any) -> str:
    """The correct line for a value of the wrong type; "" if it can't be derived."""
    if section := _section_type(hint):
        return f": write a table [{where}] with the keys {', '.join(get_type_hints(section))}"
    kinds = _kinds(hint)
    right: object = None
    if list in kinds and isinstance(value, str):
        try:
            right = shlex.split(value)
        except ValueError:
            right = [value]
    elif int in kinds and isinstance(value, str) and value.strip().isdecimal():
        right = int(value)
    elif str in kinds and isinstance(value, int | float):
        right = str(value).lower()
    elif str in kinds and isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        right = value[0]
    return "" if right is None else f": write {where.rpartition('.')[2]} = {json.dumps(right, ensure_ascii=False)}"


def _kinds(hint: Any) -> set[type]:
    """The types that a hint permits."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _kinds(get_args(hint)[0])
    if origin in (Union, UnionType):
        return {kind for part in get_args(hint) for kind in _kinds(part)}
    return {origin or hint}


def _shown(value: object) -> str:
    """A value as in TOML, at most 80 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."


def _toml_message(problem: str, where: str) -> str:
    """Msgspec's message, with the path in the file, TOML type names, and without the regular expression."""
    text = problem.replace(" - at `$", f" - at `{where}")
    for name, toml_name in _TOML_TYPE_NAMES.items():
        text = text.replace(f"`{name}`", toml_name)
    return "must start with /" if "matching regex" in text else text


def _section_type(hint: Any) -> type[Section] | None:
    candidates = (hint, *getattr(hint, "__args__", ()))
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _count(number: int) -> str:
    return "1 problem" if number == 1 else f"{number} problems"
