"""The plan of a site of files, and the web server for one."""

from sealift.cli.buildplan import dockerfile
from sealift.cli.buildplan.files import AppFiles
from sealift.cli.buildplan.model import AppKind, BuildPlan, Settings
from sealift.cli.buildplan.node_packages import has_build

FOLDERS = ("", "public", "dist", "_site", "build", "site", "out", "www", "docs")
SITE = "/site"
_CONFIGURATION = (
    "worker_processes 1;",
    "pid /tmp/nginx.pid;",
    "error_log stderr warn;",
    "events { worker_connections 1024; }",
    "http {",
    "  include /etc/nginx/mime.types;",
    "  default_type application/octet-stream;",
    "  access_log off;",
    "  sendfile on;",
    "  server_tokens off;",
    "  absolute_redirect off;",
    "  gzip on;",
    "  gzip_types text/css text/plain text/javascript application/javascript application/json image/svg+xml;",
    "  client_body_temp_path /tmp/nginx-body;",
    "  proxy_temp_path /tmp/nginx-proxy;",
    "  fastcgi_temp_path /tmp/nginx-fastcgi;",
    "  uwsgi_temp_path /tmp/nginx-uwsgi;",
    "  scgi_temp_path /tmp/nginx-scgi;",
    "  server {",
    "    listen 8080;",
    f"    root {SITE};",
    "    index index.html;",
)
_END = ("    location ~ /\\.(?!well-known/) { return 404; }", "  }", "}")
_START = (
    'CMD ["sh", "-c", "sed \\"s/listen 8080/listen ${PORT:-8080}/\\" /etc/nginx/site.conf > /tmp/site.conf && '
    "exec nginx -e stderr -c /tmp/site.conf -g 'daemon off;'\"]"
)


def find(files: AppFiles, settings: Settings) -> BuildPlan | None:
    """The plan for the first folder with an index.html; None if there is none."""
    folder = next((one for one in FOLDERS if (f"{one}/index.html" if one else "index.html") in files), None)
    if folder is None:
        return None
    path = f"{folder}/index.html" if folder else "index.html"
    where = f"./{folder}" if folder else "the directory"
    # By another stage, because COPY can't leave out the Dockerfile, which is part of the context.
    lines = [
        dockerfile.base(settings.base(AppKind.STATIC), stage="files"),
        f"COPY {folder or '.'} {SITE}",
        f"RUN rm -rf {SITE}/.sealift {SITE}/Dockerfile {SITE}/.dockerignore {SITE}/Procfile",
        dockerfile.BREAK,
        dockerfile.base(settings.base(AppKind.STATIC)),
        *server_lines(is_single_page=False, not_found=_not_found(files, folder)),
        f"COPY --from=files {SITE} {SITE}",
        *start_lines(),
    ]
    return BuildPlan(
        AppKind.STATIC,
        "static site",
        path,
        f"serves {where} by nginx",
        dockerfile.text_of(lines),
        _notes(files),
    )


def _notes(files: AppFiles) -> tuple[str, ...]:
    """Files that a build script of package.json would make are not made."""
    if not has_build(files.json("package.json")):
        return ()
    return ("the build script of package.json is not run: the files are served as they are",)


def _not_found(files: AppFiles, folder: str) -> str:
    path = f"{folder}/404.html" if folder else "404.html"
    return "/404.html" if path in files else ""


def server_lines(*, is_single_page: bool, not_found: str = "") -> list[str]:
    """The configuration of nginx, which needs no root and takes $PORT when it starts.

    Args:
        is_single_page: paths without a file get index.html, which routes in the browser.
        not_found: the page for other paths, "" for nginx's own.
    """
    fallback = "/index.html" if is_single_page else "=404"
    rules = (
        f"    location / {{ try_files $uri $uri.html $uri/ {fallback}; }}",
        f"    error_page 404 {not_found};" if not_found else "",
    )
    lines = [line for line in (*_CONFIGURATION, *rules, *_END) if line]
    quoted = " \\\n".join(f"    '{line}'" for line in lines)
    return [f"RUN printf '%s\\n' \\\n{quoted} \\\n    > /etc/nginx/site.conf"]


def start_lines() -> list[str]:
    """The user and the command of nginx."""
    return [dockerfile.as_user(), _START]
