"""Asks an app one question in HTTP/1.1, on a connection of its own. Of the answer only the status is read."""

import asyncio
from urllib.parse import quote

import h11

# Of the answer's head, with the interim answers before it; Envoy takes as much of an app.
_MAX_HEAD_BYTES = 65_536
_READ_BYTES = 16_384
# Answers such as 100 Continue and 103 Early Hints cost more to read than to send, and all probes share a loop.
_MAX_INTERIM = 20
# What stays as it is in a path with its query (RFC 3986, 3.3); "%": it may be encoded already.
_PATH_CHARS = "/?%:@!$&'()*+,;=-._~[]"


class NotHttpError(Exception):
    """What came back is no HTTP/1.1."""


class NoAnswerError(Exception):
    """No answer came. The message says what the app did instead; its subject is the app."""

    def __init__(self, message: str = "closed the connection without an answer") -> None:
        super().__init__(message)


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, host: str, path: str, user_agent: str
) -> int:
    """The status of the answer to a GET of `path`. No body is waited for.

    Raises:
        NotHttpError: The app does not speak HTTP/1.1.
        NoAnswerError: It gave no answer.
        OSError: The network failed.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    headers = [("Host", host), ("User-Agent", user_agent), ("Accept", "*/*"), ("Connection", "close")]
    request = h11.Request(method="GET", target=quote(path, safe=_PATH_CHARS), headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    interim = 0
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            raise NotHttpError from None
        if event is h11.NEED_DATA:
            data = await reader.read(_READ_BYTES)
            if not data:
                raise NoAnswerError
            connection.receive_data(data)
        elif isinstance(event, h11.InformationalResponse):
            interim += 1
            if interim > _MAX_INTERIM:
                raise NoAnswerError(f"sent {_MAX_INTERIM} interim answers, such as 100 Continue, and went on so")
        elif isinstance(event, h11.Response):
            return int(event.status_code)
        else:
            raise NotHttpError
