"""A server that stores the body of a PUT in a file, for both kinds of upload. Arguments: PORT FILE."""

import sys
from pathlib import Path

from aiohttp import web


def app(file: Path) -> web.Application:
    """The request handler: PUT stores the body, GET / shows that the server runs."""

    async def put(request: web.Request) -> web.Response:
        with file.open("wb") as stored:
            async for chunk in request.content.iter_chunked(1 << 18):
                stored.write(chunk)
        return web.Response(text="stored")

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="sink")

    made = web.Application(client_max_size=1 << 40)
    made.add_routes([web.put("/stored", put), web.get("/", hello)])
    return made


if __name__ == "__main__":
    web.run_app(app(Path(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), print=None)
