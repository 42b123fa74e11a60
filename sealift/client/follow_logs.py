"""What apps print, over any number of streams."""

from collections.abc import AsyncGenerator

from sealift.client.client import Client
from sealift.client.errors import ServerError, TimedOutError, UnreachableError
from sealift.client.follow import GIVE_UP_S, POLL_S, READ_GIVE_UP_S, Notice, Outage
from sealift.ctrl.v1 import log_pb2

_RETRYABLE = (UnreachableError, TimedOutError, ServerError)


async def follow_logs(
    client: Client,
    request: log_pb2.GetLogsRequest,
    *,
    notice: Notice,
    give_up_s: float | None = None,
) -> AsyncGenerator[log_pb2.GetLogsResponse, None]:
    """Each line once, those of an instance in order. A lost stream is resumed behind the last line.

    With `follow` it ends when nothing of the deployment runs any more, else after what is stored.

    Args:
        client: of the server.
        request: what is wanted; changed by this.
        notice: called once for each time that the stream is lost for long.
        give_up_s: for how long; None: 600 s with `follow`, else 5 s.

    Raises:
        ClientError: no answer for `give_up_s`, or an error that a retry can't solve.
    """
    outage = Outage(POLL_S, (GIVE_UP_S if request.follow else READ_GIVE_UP_S) if give_up_s is None else give_up_s)
    is_notified = False
    while True:
        try:
            async for message in client.stream_logs(request):
                outage.reset()
                is_notified = False
                if message.cursor:
                    request.after = message.cursor
                    request.since = request.tail = 0
                yield message
            return
        except _RETRYABLE as error:
            if isinstance(error, TimedOutError) and not outage.failures:
                continue  # the stream's own deadline
            if outage.failures and not is_notified:
                notice(f"the log can't be read ({error.message}); trying again")
                is_notified = True
            await outage.wait_or_raise(error)
