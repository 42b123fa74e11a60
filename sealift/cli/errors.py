"""The client's errors as words for people and as exit codes. Pure."""

from sealift.cli.exits import Exit
from sealift.cli.text import clean_block
from sealift.client.errors import AuthError, ClientError, InputError, TimedOutError, UnreachableError

_CODES: tuple[tuple[type[ClientError], Exit], ...] = (
    (InputError, Exit.USAGE),
    (AuthError, Exit.AUTH),
    (UnreachableError, Exit.UNREACHABLE),
    (TimedOutError, Exit.UNREACHABLE),
)


def exit_code(error: ClientError) -> Exit:
    """The verdict on a command that ended with this error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)


def describe(error: ClientError) -> str:
    """An error for people: message, code, and the request id to quote when the server has one."""
    request = f", request {error.request_id}" if error.request_id else ""
    return clean_block(f"{error.message} [{error.code}{request}]")
