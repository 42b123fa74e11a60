"""What a servicer knows of the call it answers."""

from dataclasses import dataclass, field

from pkg.auth import Caller
from pkg.errors import Internal
from svc.api.rpc.clients import Client


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        method: "/package.Service/Method".
        request_id: of the caller, or made here; in every log line and error of the call.
        traceparent: W3C trace context to keep with what the call records; "" when not traced.
        client: from where the call comes.
    """

    method: str
    request_id: str
    traceparent: str
    known_caller: Caller | None
    client: Client = field(default_factory=Client)

    @property
    def caller(self) -> Caller:
        """Who calls. Open methods have none and must not ask."""
        if self.known_caller is None:
            raise Internal("auth.no_caller", f"{self.method} asked who calls, but is open to everyone")
        return self.known_caller

    @property
    def workspace_id(self) -> str:
        """The workspace that the caller sees; every look-up is confined to it."""
        return self.caller.workspace_id
