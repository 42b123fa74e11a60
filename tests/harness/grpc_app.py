"""A real gRPC app in Python, written to a directory with a Dockerfile, and a client of it.

It needs an image in which `python3` runs (`svc.krane.testing.engine`); gRPC comes from the tests' own environment.
"""

import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import grpc

_CODE = """\
import signal
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return {
            "/t.Echo/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/t.Echo/Down": grpc.unary_stream_rpc_method_handler(self.down),
            "/t.Echo/Up": grpc.stream_unary_rpc_method_handler(self.up),
            "/t.Echo/Both": grpc.stream_stream_rpc_method_handler(self.both),
            "/t.Echo/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
        }.get(details.method)

    def unary(self, request, context):
        context.set_trailing_metadata((("x-deadline", str(int(context.time_remaining() or 0))),))
        return b"{body}:" + request

    def down(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number

    def up(self, requests, context):
        return b"%d" % sum(len(one) for one in requests)

    def both(self, requests, context):
        for one in requests:
            yield one

    def fail(self, request, context):
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")


server = grpc.server(futures.ThreadPoolExecutor(16))
server.add_generic_rpc_handlers((Echo(),))
server.add_insecure_port("0.0.0.0:50051")
server.start()
signal.signal(signal.SIGTERM, lambda *_: server.stop(5))
server.wait_for_termination()
"""


def grpc_app(directory: Path, base_image: str, body: str, *, toml: str = '[run]\nprotocol = "h2c"\n') -> Path:
    """An app that answers `body` and what it was sent, on port 50051, whatever $PORT says."""
    directory.mkdir(parents=True, exist_ok=True)
    packages = Path(sysconfig.get_path("purelib"))
    left_out = shutil.ignore_patterns("__pycache__", "*.pyi", "*.pyx", "*.pxi", "*.pxd")
    shutil.copytree(packages / "grpc", directory / "lib/grpc", ignore=left_out, dirs_exist_ok=True)
    shutil.copy2(packages / "typing_extensions.py", directory / "lib")
    (directory / "app.py").write_text(_CODE.replace("{body}", body))
    (directory / "sealift.toml").write_text(toml)
    (directory / "Dockerfile").write_text(
        f"FROM {base_image}\nENV PYTHONPATH=/lib-of-app\nCOPY lib /lib-of-app\nCOPY app.py /app.py\n"
        'CMD ["python3", "-u", "/app.py"]\n'
    )
    return directory


def channel(address: str, hostname: str, *, ca_pem: bytes = b"") -> grpc.Channel:
    """To the app of a hostname at the ingress; by TLS with the certificate of an authority."""
    port = address.rpartition(":")[2]
    options = [("grpc.default_authority", f"{hostname}:{port}"), ("grpc.ssl_target_name_override", hostname)]
    if ca_pem:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca_pem), options=options[1:])
    return grpc.insecure_channel(address, options=options[:1])


def trailers(call: "grpc.Call") -> Mapping[str, str]:
    """The trailing metadata of a finished call, or of its error."""
    return {str(key): str(value) for key, value in call.trailing_metadata() or ()}
