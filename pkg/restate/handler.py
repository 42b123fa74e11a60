"""A handler of a workflow or virtual object, as a value that carries its messages' types."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)


@dataclass(frozen=True)
class Handler(Generic[Q, R]):
    """What Restate calls.

    Attributes:
        service: the name of the workflow or virtual object.
        name: the handler's name.
        request: type of the message that it takes.
        reply: type of the message that it answers with.
    """

    service: str
    name: str
    request: type[Q]
    reply: type[R]

    def __str__(self) -> str:
        return f"{self.service}/{self.name}"
