"""A servicer and the descriptor of its service, checked against each other; the same for both transports."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from svc.api.rpc.call import Call

Unary = Callable[[Any, Call], Awaitable[Message]]
Stream = Callable[[Any, Call], AsyncIterator[Message]]


@dataclass(frozen=True)
class Method:
    """One method. Exactly one of `unary` and `stream` is set."""

    path: str
    request: type[Message]
    unary: Unary | None
    stream: Stream | None


class Service:
    """A servicer: for each method of the service a coroutine function, or an async generator function for streams.

    Raises TypeError when a method is missing, so that nothing declared answers Unimplemented.
    """

    def __init__(self, descriptor: ServiceDescriptor, servicer: object) -> None:
        self.name = descriptor.full_name
        self.methods: dict[str, Method] = {}
        for declared in descriptor.methods:
            fn = getattr(servicer, declared.name, None)
            if fn is None or declared.client_streaming:
                raise TypeError(f"{type(servicer).__name__} does not serve {descriptor.full_name}/{declared.name}")
            self.methods[declared.name] = Method(
                path=f"/{descriptor.full_name}/{declared.name}",
                request=GetMessageClass(declared.input_type),
                unary=None if declared.server_streaming else fn,
                stream=fn if declared.server_streaming else None,
            )
