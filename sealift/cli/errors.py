"""Converts client errors to messages, JSON results and exit codes."""

import sys

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.text import clean_block, prose
from sealift.cli.result import RESULT
from sealift.client.errors import AuthError, ClientError, InputError, TimedOutError, UnreachableError

_CODES: tuple[tuple[type[ClientError], ExitCode], ...] = (
    (InputError, ExitCode.USAGE),
    (AuthError, ExitCode.AUTH),
    (UnreachableError, ExitCode.UNREACHABLE),
    (TimedOutError, ExitCode.UNREACHABLE),
)


def exit_code(error: ClientError) -> ExitCode:
    """The exit code of a command that failed with this error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


def fail(error: ClientError) -> int:
    """Report an error on stderr, and with --json as the result on stdout; return the exit code."""
    code = exit_code(error)
    sys.stderr.write(prose(f"error: {describe(error)}") + "\n")
    RESULT.fail(code, code=error.code, message=clean_block(error.message), field=error.field or "")
    return code


def describe(error: ClientError) -> str:
    """An error as text: message, code, and the request id if there is one."""
    request = f", request {error.request_id}" if error.request_id else ""
    # after a list or lines to copy, the code is on a line of its own
    gap = "\n" if "\n" in error.message else " "
    return clean_block(f"{error.message}{gap}[{error.code}{request}]")
