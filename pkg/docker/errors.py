"""What goes wrong with an engine.

OSError
└── EngineError          it does not answer, or in a way that is not understood
└── EngineRefusedError   it answered with an error
"""


class EngineError(OSError):
    """The engine is away, or answered something that is not understood."""


class EngineRefusedError(EngineError):
    """The engine answered with an error.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
