"""One HTTP/1.1 request to something on this machine, over TCP or a unix socket, bounded in time and size.

Enough for health checks, calls of the api's JSON methods and of a Docker engine, at no import cost and without a
thread. Fails with OSError: nothing answers, not in time (TimeoutError), or not in HTTP.
"""

from pkg.local_http.client import Answer, accepts, answers, reacts, request

__all__ = ["Answer", "accepts", "answers", "reacts", "request"]
