"""What `sealift deploy` and `sealift build` do with a directory: check it, name its project, then run its plan."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from sealift.cli.buildplan.model import BuildPlan
from sealift.cli.deploy import first_deploy
from sealift.cli.deploy.build_planning import chosen, find_plans, is_without_dockerfile, settings_of
from sealift.cli.deploy.plan import Plan
from sealift.cli.errors import exit_code
from sealift.cli.format.text import context_text
from sealift.cli.output import open_output
from sealift.cli.output.port import Output
from sealift.cli.project import project_file
from sealift.cli.project.detection import detect
from sealift.cli.project.project_file import ProjectFile, checked_project
from sealift.cli.result import RESULT
from sealift.client.client import Client
from sealift.client.context import (
    DEFAULT_DOCKERFILE,
    Context,
    path_list,
    printable_path,
    refuse_without_dockerfile,
    scan,
    size_text,
)
from sealift.client.context_limits import check_limits
from sealift.client.errors import ClientError, InputError, NotFoundError
from sealift.client.git import GitInfo, read_git


class _Run(Protocol):
    async def run(self, plan: Plan, directory: Path, *, detach: bool, wait_timeout_s: float) -> int:
        """Carry out the plan and return the exit code."""


@dataclass(frozen=True, kw_only=True)
class SourceCommand:
    """One command line.

    Attributes:
        verb: of the command.
        url: of the server; None: the default.
        path: the directory.
        steps: those that the work has, for the output.
        make_plan: the plan, from the directory's sealift.toml, the project and the Dockerfile.
        make_run: what carries it out.
        project: given by the user.
        dockerfile: given by the user.
        base_image: given by the user, for a generated Dockerfile.
        has_image: nothing is built, so the directory only holds the sealift.toml.
        knows_project: what is deployed belongs to a project, so that none has to be named.
        create, detach, dry_run, as_json, wait_timeout_s: the options.
    """

    verb: Literal["deploy", "build"]
    url: str | None
    path: Path
    steps: Sequence[str]
    make_plan: Callable[[ProjectFile, str, str], Plan]
    make_run: Callable[[Client, Output, float], _Run]
    project: str | None
    dockerfile: str | None
    base_image: str | None = None
    has_image: bool = False
    knows_project: bool = False
    create: bool
    detach: bool
    dry_run: bool
    as_json: bool
    wait_timeout_s: float

    def run(self) -> int:
        """Run it and return the exit code. A missing project is created if --create is given or the user agrees."""
        began, output = time.monotonic(), self._open_output()
        try:
            if not self.has_image:
                _check_directory(self.path, self.verb)
            file = project_file.load(self.path)
            project_ref = self.project or text_of(file.project)
            is_new = not project_ref and not self.dry_run and not self.has_image
            dockerfile = self.dockerfile or text_of(file.dockerfile) or DEFAULT_DOCKERFILE
            plan = self.make_plan(file, project_ref or "", dockerfile)
            if not self.has_image:
                output, plan = self._with_build_plan(output, plan, file)
                if (is_new or self.create) and not plan.build_plan:
                    refuse_without_dockerfile(self.path, dockerfile)
            if self.dry_run:
                return self._show_plan(replace(plan, project=project_ref or "-"), output)
            if is_new:
                output.close()
                project_ref = first_deploy.name_project(self.path, create=self.create, verb=self.verb)
                output, began = self._open_output(), time.monotonic()
            if project_ref or not self.knows_project:
                plan = replace(plan, project=checked_project(project_ref))
            if is_new:
                first_deploy.make_new_project(self.url, self.path, plan.project, output, verb=self.verb)
            elif self.create:
                first_deploy.make_project(self.url, plan.project, output)
            try:
                return self._carry_out(plan, output, began)
            except NotFoundError as error:
                if error.code != "project.not_found" or self.as_json or not first_deploy.may_ask():
                    raise
                output.close()
                first_deploy.offer(plan.project, error)
                output, began = self._open_output(), time.monotonic()
                first_deploy.make_project(self.url, plan.project, output)
                return self._carry_out(plan, output, began)
        except ClientError as error:
            code = exit_code(error)
            output.error(_with_found_files(error, self.path), code)
            return code
        finally:
            output.close()

    def _open_output(self) -> Output:
        return open_output(as_json=self.as_json, steps=self.steps)

    def _with_build_plan(self, output: Output, plan: Plan, file: ProjectFile) -> tuple[Output, Plan]:
        """The plan, with a generated Dockerfile if there is none; and the output, opened again after a question."""
        if not is_without_dockerfile(self.path, file, self.dockerfile):
            if self.base_image:
                output.warn("--base-image is not used: the app has a Dockerfile")
            return output, plan
        settings = settings_of(file, self.base_image, plan.build_args)
        plans = find_plans(self.path, settings, use_git=plan.use_git)
        is_asked = len(plans) > 1 and not self.as_json
        if is_asked:
            output.close()
        found = chosen(plans, may_ask_user=not self.as_json)
        return self._open_output() if is_asked else output, plan.with_build_plan(found)

    def _carry_out(self, plan: Plan, output: Output, began: float) -> int:
        from sealift.cli.session import configure_tracing, drive, open_client

        tracing = configure_tracing()

        async def work() -> int:
            async with open_client(self.url, tracing) as client:
                run = self.make_run(client, output, began)
                return await run.run(plan, self.path, detach=self.detach, wait_timeout_s=self.wait_timeout_s)

        try:
            return drive(work)
        finally:
            tracing.shutdown()

    def _show_plan(self, plan: Plan, output: Output) -> int:
        """List the files that would be sent, without calling the server."""
        if plan.has_image:
            what = f"the image {plan.image}" if plan.image else f"the image of {plan.build_id}"
            output.note(f"would deploy {what}")
            if self.as_json:
                RESULT.write(**self._plan_result(plan))
            return 0
        plan = plan.with_git(read_git(self.path, plan.commit) if plan.use_git else GitInfo(plan.commit))
        context = scan(self.path, plan.dockerfile, use_git=plan.use_git, generated=plan.generated_dockerfile)
        check_limits(context)
        if self.as_json:
            RESULT.write(**self._plan_result(plan), **_context_result(context))
            return 0
        output.heading(plan.title())
        if plan.branch_note and plan.environment:
            output.note(plan.branch_note)
        for line in plan.build_lines():
            output.note(line)
        for entry in context.files:
            sys.stdout.write(f"{entry.size_bytes:>12}  {printable_path(entry.path)}\n")
        output.note(f"{context_text(context)}; Dockerfile: {context.dockerfile}")
        output.note(f"largest: {path_list([f'{e.path} ({size_text(e.size_bytes)})' for e in context.largest()])}")
        for note in context.notes:
            output.warn(note)
        output.note("dry run: nothing was sent")
        return 0

    def _plan_result(self, plan: Plan) -> dict[str, Any]:
        known: dict[str, Any] = {"status": "dry_run", "exit_code": 0, "project": plan.project}
        if plan.build_plan:
            known["build_plan"] = build_plan_result(plan.build_plan)
        if self.verb == "build":
            return {**known, "commit_sha": plan.git.commit_sha}
        return {
            **known,
            "environment": plan.environment,
            "branch": plan.branch,
            "branch_note": plan.branch_note or None,
            "commit_sha": plan.git.commit_sha,
            "image": plan.image,
            "build_id": plan.build_id,
            "variables": sorted(plan.variables),
        }


def text_of(value: object) -> str | None:
    """The value of a key of sealift.toml; None if it is not set."""
    return value if isinstance(value, str) else None


def build_plan_result(plan: BuildPlan) -> dict[str, Any]:
    """A build plan for JSON."""
    return {
        "kind": plan.kind.value,
        "title": plan.title,
        "because": plan.because,
        "does": plan.does,
        "notes": list(plan.notes),
        "dockerfile": plan.dockerfile,
    }


def _with_found_files(error: ClientError, path: Path) -> ClientError:
    """The error; if a Dockerfile is missing, with the files that were found instead."""
    if not isinstance(error, InputError) or error.code != "context.no_dockerfile":
        return error
    found = detect(path)
    if not (sentences := found.lines()):
        return error
    what, *below = error.message.split("\n")
    what = what.partition("; ")[0] if found.dockerfiles else what  # they are named below
    return InputError("\n".join([what, *below, *sentences]), code=error.code, field=error.field)


def _context_result(context: Context) -> dict[str, Any]:
    return {
        "dockerfile": context.dockerfile,
        "ignore_file": context.ignore_file,
        "rule": context.rule,
        "bytes": context.size_bytes,
        "files": [{"path": entry.path, "bytes": entry.size_bytes} for entry in context.files],
        "notes": list(context.notes),
    }


def _check_directory(path: Path, verb: str) -> None:
    """Check that the directory exists, before its content is checked."""
    try:
        is_directory = path.resolve(strict=True).is_dir()
    except FileNotFoundError:
        message = f"the directory {path} does not exist{_hint(path, verb)}"
        raise InputError(message, code="context.not_found", field="path") from None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"can't open {path}: {reason}", code="context.unreadable", field="path") from None
    if not is_directory:
        message = f"{path} is not a directory: name the directory of the app"
        raise InputError(message, code="context.no_directory", field="path")


def _hint(path: Path, verb: str) -> str:
    """The command that was probably meant, if an id stands in the place of the directory."""
    ident = str(path)
    if ident.startswith("bld_"):
        return f"; did you mean: sealift {'deploy --build' if verb == 'deploy' else 'build show'} {ident}"
    return ""
