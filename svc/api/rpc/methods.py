"""Methods of a service as the pipeline and both transports see them: options of the proto, function of the servicer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from pkg.auth import Access, access_of
from svc.api.rpc.call import Call

Unary = Callable[[Any, Call], Awaitable[Message]]
Stream = Callable[[Any, Call], AsyncIterator[Message]]
Bidi = Callable[[Any, AsyncIterator[Any], Call], AsyncIterator[Message]]


@dataclass(frozen=True)
class Method:
    """One method. Exactly one of `unary`, `stream` and `bidi` is set.

    Attributes:
        path: "/package.Service/Method".
        access: what its options in the proto declare.
        bidi: takes the first request, by which the call is authorised and logged, and those that follow.
    """

    path: str
    access: Access
    request: type[Message]
    unary: Unary | None
    stream: Stream | None
    bidi: Bidi | None = None


class Service:
    """A servicer: for each method of the service a coroutine function, or an async generator function for streams.

    A method with a stream of requests has one of answers, too.

    Raises:
        TypeError: the servicer lacks a method, so that nothing declared answers Unimplemented.
        ValueError: a method declares no access in the proto; nothing is served without a declared access.
    """

    def __init__(self, descriptor: ServiceDescriptor, servicer: object) -> None:
        self.name = descriptor.full_name
        self.methods: dict[str, Method] = {}
        for declared in descriptor.methods:
            fn = getattr(servicer, declared.name, None)
            if fn is None or (declared.client_streaming and not declared.server_streaming):
                raise TypeError(f"{type(servicer).__name__} does not serve {descriptor.full_name}/{declared.name}")
            self.methods[declared.name] = Method(
                path=f"/{descriptor.full_name}/{declared.name}",
                access=access_of(declared),
                request=GetMessageClass(declared.input_type),
                unary=None if declared.server_streaming else fn,
                stream=fn if declared.server_streaming and not declared.client_streaming else None,
                bidi=fn if declared.client_streaming else None,
            )
