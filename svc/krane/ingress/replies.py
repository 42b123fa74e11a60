"""What Envoy answers by itself: which part refused, why, and whether to ask again, in the form the client takes. Pure.

Each reply has four forms, chosen by the request: a status and a message for gRPC, a page for browsers, an object for
what asks for JSON, else plain text. What a client sent stands in a page only if none of its characters mean anything
in HTML; JSON is escaped by Envoy.
"""

import html
import re
from dataclasses import dataclass

from svc.krane.ingress.resources import MAX_HEADERS, MAX_RESPONSE_HEADERS_KIB, STOPPED_STATUS, JsonDict

CONTENT_TYPE = "text/plain; charset=utf-8"
ERROR_HEADER = "x-sealift-error"
STOPPED_RETRY_AFTER_S = 300

_HOST = "%REQ(:AUTHORITY)%"
_REQUEST_ID = "%REQ(X-REQUEST-ID)%"
# The route adds the header before the text is made: the one command that helps can be copied.
_STATUS = "`sealift status %RESP(X-SEALIFT-DEPLOYMENT)%` shows its instances and what is wrong with them."
_CAUSE = "The cause in Envoy's words: %RESPONSE_CODE_DETAILS%."

# The same values in a page: as they are where that is harmless, else left out.
_IN_HTML = {
    _HOST: "%CEL(request.host.matches('^[A-Za-z0-9._:-]+$') ? request.host : 'this address')%",
    _REQUEST_ID: "%CEL(request.id.matches('^[A-Za-z0-9._:-]+$') ? request.id : '-')%",
    "%RESPONSE_CODE_DETAILS%": (
        "%CEL(response.code_details.matches('^[A-Za-z0-9._:-]+$') ? response.code_details : 'none')%"
    ),
}

_WHY_BAD = (
    "response.code_details == 'missing_host_header'"
    " ? 'It names no host. Apps are told apart by the Host header; HTTP/1.0 clients have to send it, too.'"
    " : response.code_details.startsWith('rbac_')"
    " ? 'Its Host header names something else than a host and the number of a port.'"
    " : 'No app has seen it, and the connection is closed.'"
)


@dataclass(frozen=True)
class Reply:
    """One reply.

    Attributes:
        code: stable, in the header `x-sealift-error` and in JSON.
        title: a line without an end.
        text: whole sentences, lines of plain text.
        status: of HTTP; 0: Envoy's own.
        retry_after_s: 0: no advice. Set only where the request never reached an app.
        has_id: False where the request could not be read.
    """

    code: str
    title: str
    text: str = ""
    status: int = 0
    retry_after_s: int = 0
    has_id: bool = True


CONNECT = Reply(
    "ingress.connect",
    "CONNECT is not served here",
    "This is the address of apps, not a forward proxy: take it out of the client's proxy settings.",
    status=501,
    has_id=False,
)
NO_APP = Reply(
    "ingress.unknown_host",
    f"no app is served at {_HOST}",
    "No deployment answers under this name: it is misspelt, or its deployment was stopped or never became ready.\n"
    "`sealift ls` lists the deployments of a project, `sealift status DEPLOYMENT` the addresses of one.",
)
STOPPED = Reply(
    "ingress.stopped",
    f"the app at {_HOST} is stopped",
    "The name is right and stays reserved, but its owner has stopped the app. The request did not reach it.\n"
    "`sealift deploy` or `sealift promote` starts it again.",
    status=503,
    retry_after_s=STOPPED_RETRY_AFTER_S,
)
NO_INSTANCE = Reply(
    "ingress.no_healthy_instance",
    f"{_HOST} has no healthy instance right now",
    "The name is right, but no instance of its deployment passes the health check: it is starting, or it has failed.\n"
    f"Requests are answered again as soon as one does. {_STATUS}",
    retry_after_s=1,
)
NOT_KNOWN = Reply(
    "ingress.not_known_yet",
    f"it is not known yet where {_HOST} is served",
    "The name is right, but no instance of its deployment has been seen since the ingress was started: that was a\n"
    "moment ago, or the engine that runs the instances does not answer. The request did not reach the app.\n"
    f"{_STATUS}",
    retry_after_s=1,
)
NO_CONNECTION = Reply(
    "ingress.no_connection",
    f"the instance behind {_HOST} takes no connection",
    "The request did not reach the app, so it is safe to send it again. The instance may have just crashed.\n"
    f"{_STATUS}",
    retry_after_s=1,
)
NO_ANSWER = Reply(
    "ingress.no_answer",
    f"the app behind {_HOST} ended the request without an answer",
    "The app may have worked on the request: it is not sent again by itself. The app may have crashed over it.\n"
    f"{_STATUS}",
    status=502,
)
BAD_ANSWER = Reply(
    "ingress.bad_answer",
    f"the app behind {_HOST} answered something that is not valid HTTP",
    f"Or the head of its answer is larger than {MAX_RESPONSE_HEADERS_KIB} KiB or {MAX_HEADERS} headers. {_STATUS}",
    status=502,
)
NO_UPGRADE = Reply(
    "ingress.no_upgrade",
    f"the app behind {_HOST} did not switch to the WebSocket protocol",
    "It did not answer the upgrade with 101: the path may be no WebSocket endpoint of the app.",
    status=502,
)
REDIRECT = Reply(
    "ingress.redirected_upgrade", "a WebSocket request is answered with a redirect, by the app or to HTTPS"
)
TOO_MANY = Reply(
    "ingress.too_many_requests",
    f"too many requests are under way to {_HOST}",
    "The request did not reach the app, so it is safe to send it again when others have ended.",
    retry_after_s=1,
)
OVERLOADED = Reply(
    "ingress.overloaded",
    "the ingress is out of memory or connections",
    "The request did not reach an app. Try again in a moment.",
    retry_after_s=1,
    has_id=False,
)
IDLE = Reply(
    "ingress.idle",
    "nothing came or went for an hour",
    "A request of which neither side sends a byte for so long is ended.",
)
TOO_SLOW = Reply(
    "ingress.slow_request",
    "the head of the request did not arrive in time",
    "Request line and headers have to come within 30 s.",
    has_id=False,
)
TOO_LARGE = Reply(
    "ingress.large_head",
    "the head of the request is too large",
    f"The request line and all headers may take 64 KiB together, and {MAX_HEADERS} headers. Cookies are headers, too.",
    has_id=False,
)
BAD_ENCODING = Reply(
    "ingress.transfer_coding",
    "this transfer coding is not understood",
    "The only Transfer-Encoding that a request may have is chunked.",
    has_id=False,
)
BAD_REQUEST = Reply(
    "ingress.bad_request",
    "this is not a valid HTTP request",
    f"%CEL({_WHY_BAD})% {_CAUSE}",
    status=400,
    has_id=False,
)
API_AWAY = Reply(
    "ingress.api_away",
    "the api of this installation does not answer",
    "It is starting, or it is being upgraded: try again in a moment. Deployed apps are served all the same.",
    status=503,
    retry_after_s=1,
)
API_NO_PAGE = Reply(
    "ingress.no_page",
    "there is no page here",
    "This is the api of a Sealift installation. `sealift login` with this address stores a key for it.",
)
API_HTTPS_ONLY = Reply(
    "ingress.https_only",
    "the api is served by HTTPS only",
    "The request went over the network in clear: if it had a key, replace that key.",
)
OTHER = Reply("ingress.refused", "the ingress did not pass the request on", _CAUSE, has_id=False)


def local_reply_config(api_hostname: str = "", hsts_max_age_s: int = 0) -> JsonDict:
    """The replies by what happened; the first that fits is taken.

    The answers of routes themselves (redirects, challenges) have a status below 400 and pass as they are.

    Args:
        api_hostname: of the api behind this ingress; "": there is none.
        hsts_max_age_s: of the Strict-Transport-Security header, where all requests come by HTTPS; 0: none is sent.
            Routes add it, too (`resources.route_table`), but a request may have none.
    """
    is_api = _header(":authority", {"safe_regex": {"regex": rf"(?i){re.escape(api_hostname)}\.?(:[0-9]*)?"}})
    of_api = [
        (_flags("UF", "UC", "UH", "UR", "UO"), API_AWAY),
        (_status(404), API_NO_PAGE),
        (_status(403), API_HTTPS_ONLY),
    ]
    by_cause: list[tuple[JsonDict, Reply]] = [
        *((_both(filter_, is_api), reply) for filter_, reply in of_api if api_hostname),
        (_both(_flags("NR"), _header(":method", {"exact": "CONNECT"})), CONNECT),
        (_flags("NR"), NO_APP),
        (_flags("NC"), NOT_KNOWN),
        (_flags("UH"), NO_INSTANCE),
        (_flags("UF"), NO_CONNECTION),
        (_flags("UC", "UR"), NO_ANSWER),
        (_flags("UPE"), BAD_ANSWER),
        (_flags("UO"), TOO_MANY),
        (_flags("OM"), OVERLOADED),
        (_flags("SI"), IDLE),
        # Envoy lets only errors of the app pass as the answer to an upgrade.
        (_both(_status(299, "LE"), _IS_UPGRADE), NO_UPGRADE),
        (_both(_status(399, "LE"), _IS_UPGRADE), REDIRECT),
        (_status(STOPPED_STATUS), STOPPED),
        (_status(408), TOO_SLOW),
        (_status(431), TOO_LARGE),
        (_status(501), BAD_ENCODING),
        (_status(400), BAD_REQUEST),
        (_status(403), BAD_REQUEST),  # the only filter that refuses looks at the Host header
        (_status(400, "GE"), OTHER),
    ]
    mappers = [one for filter_, reply in by_cause for one in _mappers(filter_, reply)]
    if hsts_max_age_s:
        header = {"key": "strict-transport-security", "value": f"max-age={hsts_max_age_s}"}
        for mapper in mappers:
            mapper["headers_to_add"].append({"header": header, "append_action": "ADD_IF_ABSENT"})
    return {"mappers": mappers}


# What the client takes: a browser names text/html, what wants JSON names that, first of all if it takes pages as well.
_IS_GRPC = {"safe_regex": {"regex": r"application/grpc(\+.*)?"}}
_TAKES_JSON_FIRST = {"safe_regex": {"regex": r"(?i)\s*application/([a-z0-9.-]+\+)?json.*"}}
_TAKES_HTML = {"safe_regex": {"regex": r"(?i).*(text/html|application/xhtml).*"}}
_TAKES_JSON = {"safe_regex": {"regex": r"(?i).*application/([a-z0-9.-]+\+)?json.*"}}


def _mappers(filter_: JsonDict, reply: Reply) -> list[JsonDict]:
    forms = (
        (_header("content-type", _IS_GRPC), _text(_sentence(reply), CONTENT_TYPE)),
        (_header("accept", _TAKES_JSON_FIRST), _json(reply)),
        (_header("accept", _TAKES_HTML), _text(_page(reply), "text/html; charset=utf-8")),
        (_header("accept", _TAKES_JSON), _json(reply)),
    )
    mappers = [_mapper(_both(filter_, is_taken), reply, form) for is_taken, form in forms]
    return [*mappers, _mapper(filter_, reply, _text(_plain(reply), CONTENT_TYPE))]


def _mapper(filter_: JsonDict, reply: Reply, form: JsonDict) -> JsonDict:
    mapper: JsonDict = {"filter": filter_, "body_format_override": form}
    if reply.status:
        mapper["status_code"] = reply.status
    headers = {ERROR_HEADER: reply.code, "cache-control": "no-store", "x-content-type-options": "nosniff"}
    if "html" in form["content_type"]:
        headers["content-security-policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    if reply.has_id:
        headers["x-request-id"] = _REQUEST_ID
    if reply.retry_after_s:
        headers["retry-after"] = str(reply.retry_after_s)
    mapper["headers_to_add"] = [
        {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in headers.items()
    ]
    return mapper


def _text(text: str, content_type: str) -> JsonDict:
    return {"text_format_source": {"inline_string": text}, "content_type": content_type}


def _plain(reply: Reply) -> str:
    lines = [f"%RESPONSE_CODE%: {reply.title}"]
    if reply.text:
        lines += ["", reply.text]
    if reply.has_id:
        lines.append(f"Request id: {_REQUEST_ID}")
    return "\n".join(lines) + "\n"


def _sentence(reply: Reply) -> str:
    return f"{reply.title}. {reply.text}".replace("\n", " ").strip()


def _json(reply: Reply) -> JsonDict:
    fields = {"code": reply.code, "message": _sentence(reply), "request_id": _REQUEST_ID if reply.has_id else ""}
    return {"json_format": fields, "content_type": "application/json"}


_STYLE = (
    "body{margin:0;font:1rem/1.5 system-ui,sans-serif;background:#fff;color:#1b1f24}"
    "main{max-width:38rem;margin:0 auto;padding:12vh 1.25rem 2rem;overflow-wrap:anywhere}"
    "h1{font-size:1.4rem;line-height:1.3;margin:0 0 1rem}"
    ".status,footer{color:#59636e;font-size:.9rem}"
    ".status{margin:0 0 .25rem}"
    "code{font:.9em ui-monospace,monospace;background:#8882;padding:.1em .3em;border-radius:.25em}"
    "@media(prefers-color-scheme:dark){body{background:#0f1216;color:#e3e8ee}.status,footer{color:#99a3ae}}"
)


def _page(reply: Reply) -> str:
    title = _in_html(reply.title[0].upper() + reply.title[1:] if reply.title[0] != "%" else reply.title)
    text = f"<p>{_in_html(reply.text)}</p>\n" if reply.text else ""
    footer = f"<footer>Request id: <code>{_in_html(_REQUEST_ID)}</code></footer>\n" if reply.has_id else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="robots" content="noindex">\n'
        f"<title>%RESPONSE_CODE%: {title}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f'<body>\n<main>\n<p class="status">%RESPONSE_CODE%</p>\n<h1>{title}</h1>\n{text}{footer}'
        "</main>\n</body>\n</html>\n"
    )


def _in_html(text: str) -> str:
    """The text of a reply as HTML: commands as code, and what the client sent only if it is harmless."""
    pieces = re.split(r"(%CEL\(.*?\)%|%[A-Z_]+(?:\([A-Z:-]+\))?%)", text)
    found = [
        _IN_HTML.get(piece, piece) if number % 2 else html.escape(piece, quote=False)
        for number, piece in enumerate(pieces)
    ]
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", "".join(found).replace("\n", " "))


def _flags(*flags: str) -> JsonDict:
    return {"response_flag_filter": {"flags": list(flags)}}


def _status(code: int, comparison: str = "EQ") -> JsonDict:
    # Envoy wants a key under which the number could be changed at run time; none is ever set.
    value = {"default_value": code, "runtime_key": f"sealift.reply.{code}"}
    return {"status_code_filter": {"comparison": {"op": comparison, "value": value}}}


def _both(one: JsonDict, other: JsonDict) -> JsonDict:
    return {"and_filter": {"filters": [one, other]}}


def _header(name: str, match: JsonDict) -> JsonDict:
    return {"header_filter": {"header": {"name": name, "string_match": match}}}


_IS_UPGRADE: JsonDict = {"header_filter": {"header": {"name": "upgrade", "present_match": True}}}
