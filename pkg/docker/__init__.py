"""The one client of a Docker engine, shared by builders, krane and the supervisor: connection, labels, errors.

Three ways to ask, by what the caller can afford. Load the last two by their modules:

* `Engine`: short calls over the socket, without a thread and without the SDK. The supervisor, which forks, may load it.
* `calls.EngineCalls`: the SDK's blocking methods in bounded threads, for callers that need its typed refusals.
* `streams.EngineStreams`: what lasts (events, pulls, stops, logs), by aiohttp.

`Engine` raises the errors here, the other two `pkg.errors.Unavailable` when no engine answers. The adapter that made
the request says what an answer means to users.
"""

from pkg.docker.engine import Engine
from pkg.docker.errors import EngineError, EngineRefusedError

__all__ = ["Engine", "EngineError", "EngineRefusedError"]
