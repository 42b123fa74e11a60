"""What Envoy answers by itself, as texts for people: which part refused, why, and whether to ask again. Pure."""

from svc.krane.ingress.resources import MAX_HEADERS, MAX_RESPONSE_HEADERS_KIB, JsonDict

CONTENT_TYPE = "text/plain; charset=utf-8"

_REQUEST_ID = "Request id: %REQ(X-REQUEST-ID)%\n"
# The route adds the header before the text is made: the one command that helps can be copied.
_STATUS = "`sealift status %RESP(X-SEALIFT-DEPLOYMENT)%` shows its instances and what is wrong with them.\n"

_CONNECT = (
    "501: CONNECT is not served here\n\n"
    "This is the address of apps, not a forward proxy: take it out of the client's proxy settings.\n"
)
_NO_APP = (
    "404: no app is served at %REQ(:AUTHORITY)%\n\n"
    "No deployment answers under this name: it is misspelt, or its deployment was stopped or never became ready.\n"
    "`sealift ls` lists the deployments of a project, `sealift status DEPLOYMENT` the addresses of one.\n"
)
_NO_INSTANCE = (
    "503: %REQ(:AUTHORITY)% has no healthy instance right now\n\n"
    "The name is right, but no instance of its deployment passes the health check: it is starting, or it has failed.\n"
    f"Requests are answered again as soon as one does. {_STATUS}"
)
_NOT_KNOWN = (
    "503: it is not known yet where %REQ(:AUTHORITY)% is served\n\n"
    "The name is right, but no instance of its deployment has been seen since the ingress was started: that was a\n"
    "moment ago, or the engine that runs the instances does not answer. The request did not reach the app.\n"
    f"{_STATUS}"
)
_NO_CONNECTION = (
    "503: the instance behind %REQ(:AUTHORITY)% takes no connection\n\n"
    "The request did not reach the app, so it is safe to send it again. The instance may have just crashed.\n"
    f"{_STATUS}"
)
_NO_ANSWER = (
    "502: the app behind %REQ(:AUTHORITY)% closed the connection without an answer\n\n"
    "The app may have worked on the request: it is not sent again by itself. The app may have crashed over it.\n"
    f"{_STATUS}"
)
_BAD_ANSWER = (
    "502: the app behind %REQ(:AUTHORITY)% answered something that is not valid HTTP\n\n"
    f"Or the head of its answer is larger than {MAX_RESPONSE_HEADERS_KIB} KiB or {MAX_HEADERS} headers. "
    f"{_STATUS}"
)
_NO_UPGRADE = (
    "502: the app behind %REQ(:AUTHORITY)% did not switch to the WebSocket protocol\n\n"
    "It did not answer the upgrade with 101: the path may be no WebSocket endpoint of the app.\n"
)
_REDIRECT = "%RESPONSE_CODE%: the app answers a WebSocket request with a redirect\n"
_TOO_MANY = (
    "503: too many requests are under way to %REQ(:AUTHORITY)%\n\n"
    "The request did not reach the app, so it is safe to send it again when others have ended.\n"
)
_OVERLOADED = (
    "503: the ingress is out of memory or connections\n\nThe request did not reach an app. Try again in a moment.\n"
)
_IDLE = (
    "%RESPONSE_CODE%: nothing came or went for an hour\n\n"
    "A request of which neither side sends a byte for so long is ended.\n"
)
_TOO_SLOW = (
    "408: the head of the request did not arrive in time\n\nRequest line and headers have to come within 30 s.\n"
)
_TOO_LARGE = (
    "431: the head of the request is too large\n\n"
    f"The request line and all headers may take 64 KiB together, and {MAX_HEADERS} headers. Cookies are headers, too.\n"
)
_BAD_ENCODING = (
    "501: this transfer coding is not understood\n\nThe only Transfer-Encoding that a request may have is chunked.\n"
)
_WHY_BAD = (
    "response.code_details == 'missing_host_header'"
    " ? 'It names no host. Apps are told apart by the Host header; HTTP/1.0 clients have to send it, too.'"
    " : response.code_details.startsWith('rbac_')"
    " ? 'Its Host header names something else than a host and the number of a port.'"
    " : 'No app has seen it, and the connection is closed.'"
)
_BAD_REQUEST = (
    f"400: this is not a valid HTTP request\n\n%CEL({_WHY_BAD})% The cause in Envoy's words: %RESPONSE_CODE_DETAILS%.\n"
)
_OTHER = (
    "%RESPONSE_CODE%: the ingress did not pass the request on\n\nThe cause in Envoy's words: %RESPONSE_CODE_DETAILS%.\n"
)


def local_reply_config() -> JsonDict:
    """The texts by what happened; the first that fits is taken.

    A request that could not be read has no id. A `retry-after` stands where the request never reached an app.
    """
    return {
        "mappers": [
            _reply(_both(_flags("NR"), _is_connect()), _CONNECT, status=501),
            _reply(_flags("NR"), _NO_APP + _REQUEST_ID),
            _reply(_flags("NC"), _NOT_KNOWN + _REQUEST_ID, retry_after_s=1),
            _reply(_flags("UH"), _NO_INSTANCE + _REQUEST_ID, retry_after_s=1),
            _reply(_flags("UF"), _NO_CONNECTION + _REQUEST_ID, retry_after_s=1),
            _reply(_flags("UC", "UR"), _NO_ANSWER + _REQUEST_ID, status=502),
            _reply(_flags("UPE"), _BAD_ANSWER + _REQUEST_ID, status=502),
            _reply(_flags("UO"), _TOO_MANY + _REQUEST_ID, retry_after_s=1),
            _reply(_flags("OM"), _OVERLOADED, retry_after_s=1),
            _reply(_flags("SI"), _IDLE + _REQUEST_ID),
            # Envoy lets only errors of the app pass as the answer to an upgrade.
            _reply(_status(299, "LE"), _NO_UPGRADE + _REQUEST_ID, status=502),
            _reply(_status(399, "LE"), _REDIRECT + _REQUEST_ID),
            _reply(_status(408), _TOO_SLOW),
            _reply(_status(431), _TOO_LARGE),
            _reply(_status(501), _BAD_ENCODING),
            _reply(_status(400), _BAD_REQUEST),
            _reply(_status(403), _BAD_REQUEST, status=400),  # the only filter that refuses looks at the Host header
        ],
        "body_format": _text(_OTHER),
    }


def _reply(filter_: JsonDict, text: str, *, status: int = 0, retry_after_s: int = 0) -> JsonDict:
    mapper: JsonDict = {"filter": filter_, "body_format_override": _text(text)}
    if status:
        mapper["status_code"] = status
    headers = {"x-request-id": "%REQ(X-REQUEST-ID)%"} if _REQUEST_ID in text else {}
    if retry_after_s:
        headers["retry-after"] = str(retry_after_s)
    mapper["headers_to_add"] = [
        {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in headers.items()
    ]
    return mapper


def _text(text: str) -> JsonDict:
    return {"text_format_source": {"inline_string": text}, "content_type": CONTENT_TYPE}


def _flags(*flags: str) -> JsonDict:
    return {"response_flag_filter": {"flags": list(flags)}}


def _status(code: int, comparison: str = "EQ") -> JsonDict:
    # Envoy wants a key under which the number could be changed at run time; none is ever set.
    value = {"default_value": code, "runtime_key": f"sealift.reply.{code}"}
    return {"status_code_filter": {"comparison": {"op": comparison, "value": value}}}


def _both(one: JsonDict, other: JsonDict) -> JsonDict:
    return {"and_filter": {"filters": [one, other]}}


def _is_connect() -> JsonDict:
    return {"header_filter": {"header": {"name": ":method", "string_match": {"exact": "CONNECT"}}}}
