"""Why the stack could not be started."""


class StartupError(Exception):
    """The machine is not as the stack needs it. The text says what is wrong, the value at fault, and what to do."""
