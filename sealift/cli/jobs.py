"""Shows a job to its end; the work of `sealift run`."""

import asyncio
import sys
from contextlib import aclosing

import click

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.log_text import WholeLines, log_json
from sealift.cli.format.message_json import message_to_dict
from sealift.cli.format.text import clean, prose
from sealift.cli.result import RESULT
from sealift.cli.streams import OutputError
from sealift.client.client import Client
from sealift.client.errors import ClientError
from sealift.client.follow import follow_job
from sealift.client.follow_logs import follow_logs
from sealift.ctrl.v1 import job_pb2, log_pb2

TIMED_OUT_CODE = 124  # as timeout(1)
STOPPED_WITHIN_S = 90.0  # it is killed after 10 s; the server ends what its region does not confirm after 60 s
REOPEN_S = 1.0


class JobRun:
    """One job: its lines as they come, and its end."""

    def __init__(self, client: Client, *, as_json: bool) -> None:
        self._client = client
        self._as_json = as_json
        self._lines = WholeLines()
        self._is_terminal = sys.stdout.isatty()

    async def attach(self, job: job_pb2.Job, *, owns: bool = False) -> int:
        """Print what it prints until it has ended; return the exit code.

        Args:
            job: any state of it.
            owns: an interrupt ends it; else it goes on.
        """
        _note(f"{job.job_id} runs with {job.deployment_id} in region {job.region}")
        request = log_pb2.GetLogsRequest(
            deployment_id=job.deployment_id, instance_ids=[job.instance_id], line_cursors=self._as_json
        )
        try:
            ended = await self._to_the_end(job, request)
        except (asyncio.CancelledError, OutputError) as left:
            if not owns:
                _note(f"{job.job_id} goes on; end it with: sealift run --stop {job.job_id}")
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            _note(f"ending {job.job_id}; interrupt again to leave it alone")
            await self._stop(job, request)
            if isinstance(left, OutputError):
                raise
            return ExitCode.INTERRUPTED
        return self._result(ended)

    async def _stop(self, job: job_pb2.Job, request: log_pb2.GetLogsRequest) -> None:
        asked = await self._client.stop_job(job.job_id)
        try:
            async with asyncio.timeout(STOPPED_WITHIN_S):
                ended = await self._to_the_end(asked, request)
        except TimeoutError:
            _note(f"{job.job_id} has not ended yet: sealift run --list shows it")
            return
        if ended.status == job_pb2.JOB_STATUS_SUCCEEDED:
            _note("it had ended by itself, with exit code 0")

    async def _to_the_end(self, job: job_pb2.Job, request: log_pb2.GetLogsRequest) -> job_pb2.Job:
        following = asyncio.create_task(self._follow(job))
        printing = asyncio.create_task(self._print_for_ever(request))
        try:
            await asyncio.wait({following, printing}, return_when=asyncio.FIRST_COMPLETED)
            if printing.done():
                printing.result()
            ended = await following
        finally:
            for task in (following, printing):
                task.cancel()
            await asyncio.gather(following, printing, return_exceptions=True)
        # its end is told after its lines, so they are all there
        await self._print(request, follow=False)
        return ended

    async def _follow(self, job: job_pb2.Job) -> job_pb2.Job:
        reason = ""
        async for state in follow_job(self._client, job.job_id, notice=_note):
            job = state
            if job.waits_for and job.waits_for != reason:
                _note(f"waiting: {clean(job.waits_for)}")
            reason = job.waits_for
        return job

    async def _print_for_ever(self, request: log_pb2.GetLogsRequest) -> None:
        """Until cancelled: the deployment may end before the job does, and its log's stream with it."""
        while True:
            await self._print(request, follow=True)
            await asyncio.sleep(REOPEN_S)

    async def _print(self, request: log_pb2.GetLogsRequest, *, follow: bool) -> None:
        """What is behind the cursor of `request`. Errors are warnings: the job continues."""
        request.follow = follow
        try:
            async with aclosing(follow_logs(self._client, request, notice=_note)) as messages:
                async for message in messages:
                    for line, text in self._lines.feed(message.lines):
                        self._show(line, text)
                    sys.stdout.flush()
        except ClientError as error:
            _note(f"can't read what it prints ({error.message}); it goes on")

    def _show(self, line: log_pb2.LogLine, text: str) -> None:
        if self._as_json:
            click.echo(log_json(line, text))
        elif line.stream == log_pb2.LOG_STREAM_SYSTEM:
            click.echo(f"# {clean(text)}", err=True)
        else:
            is_error = line.stream == log_pb2.LOG_STREAM_STDERR
            click.echo(clean(text) if self._is_terminal or is_error else text, err=is_error)

    def _result(self, ended: job_pb2.Job) -> int:
        code: int = ExitCode.FAILED
        if ended.status == job_pb2.JOB_STATUS_SUCCEEDED:
            code = ExitCode.OK
        elif ended.status == job_pb2.JOB_STATUS_TIMED_OUT:
            code = TIMED_OUT_CODE
        elif ended.status == job_pb2.JOB_STATUS_STOPPED:
            code = ExitCode.STOPPED
            _note("it was stopped")
        elif ended.HasField("exit_code"):
            code = ended.exit_code if 0 < ended.exit_code < 256 else 255
        if ended.HasField("error"):
            problem = f" [{ended.error.code}]" if ended.error.code else ""
            _note(f"{ended.error.message}{problem}")
        if self._as_json:
            RESULT.write(**{**message_to_dict(ended), "exit_code": code})
        return code


def _note(text: str) -> None:
    click.echo(prose(clean(text)), err=True)
