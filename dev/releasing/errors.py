"""The one failure of this package."""


class ReleaseError(Exception):
    """A release cannot continue; the message says what is wrong and the next step."""
