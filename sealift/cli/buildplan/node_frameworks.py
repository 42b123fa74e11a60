"""What a Node app's framework builds: files for a web server, or a program. Pure."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sealift.cli.buildplan.files import AppFiles, table, text_at

# Start scripts that start a server for development, which neither production nor a hostname of others suits.
_DEVELOPMENT_SERVERS = (
    r"react-scripts start", r"react-app-rewired start", r"craco start", r"vite(?!\S)(?! preview)", r"ng serve",
    r"vue-cli-service serve", r"astro dev", r"gatsby develop", r"docusaurus start", r"webpack(?:-dev-server| serve)",
    r"parcel(?! build)", r"nuxt dev", r"nuxi dev", r"vitepress dev", r"(?:@11ty/)?eleventy --serve", r"next dev",
    r"remix dev", r"ember serve", r"rsbuild dev", r"hexo server", r"gulp", r"grunt", r"npm run (?:dev|watch|serve)",
    r"yarn (?:dev|serve)", r"pnpm (?:run )?dev", r"nx serve", r"expo start",
)  # fmt: skip
_DEVELOPMENT = re.compile(rf"(?:^|\s)(?:{'|'.join(_DEVELOPMENT_SERVERS)})")
_PREVIEW = re.compile(r"(?:^|\s)(?:vite preview|astro preview|serve(?:\s|$)|http-server|gatsby serve|docusaurus serve)")
_PLAIN_FOLDER = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


@dataclass(frozen=True)
class StaticOutput:
    """A build whose result is files.

    Attributes:
        framework: for people.
        folder: with the files, relative to the app.
        is_single_page: whether paths without a file get index.html.
        not_found: the page for other paths, or "".
    """

    framework: str
    folder: str
    is_single_page: bool = False
    not_found: str = ""


def is_for_development(script: str) -> bool:
    """Whether a start script starts a server for development."""
    return _DEVELOPMENT.search(script) is not None


def static_output(files: AppFiles, package: Mapping[str, Any], dependencies: Collection[str]) -> StaticOutput | None:
    """The files that the build script makes, if they are all that the app is; None if it needs a program of its own."""
    scripts = table(package, "scripts")
    build, start = str(scripts.get("build", "")), str(scripts.get("start", ""))
    if "next" in dependencies:
        return _next(files)
    if start and not is_for_development(start) and not _PREVIEW.search(start):
        return None
    for packages, output in _OUTPUTS:
        if packages & set(dependencies):
            return output(files, frozenset(dependencies), build)
    return None


def _next(files: AppFiles) -> StaticOutput | None:
    is_export = re.search(r"output\s*:\s*[\"']export[\"']", _configuration(files, "next.config"))
    return StaticOutput("Next.js", "out", not_found="/404.html") if is_export else None


def _astro(files: AppFiles, dependencies: frozenset[str], build: str) -> StaticOutput | None:
    has_server = bool(_ASTRO_SERVERS & dependencies)
    return None if has_server else StaticOutput("Astro", "dist", not_found="/404.html")


def _svelte(files: AppFiles, dependencies: frozenset[str], build: str) -> StaticOutput | None:
    is_static = "@sveltejs/adapter-static" in dependencies
    return StaticOutput("SvelteKit", "build", is_single_page=True) if is_static else None


def _nuxt(files: AppFiles, dependencies: frozenset[str], build: str) -> StaticOutput | None:
    return StaticOutput("Nuxt", ".output/public", not_found="/404.html") if "generate" in build else None


def _vitepress(files: AppFiles, dependencies: frozenset[str], build: str) -> StaticOutput | None:
    folder = "docs/.vitepress/dist" if " docs" in build else ".vitepress/dist"
    return StaticOutput("VitePress", folder, not_found="/404.html")


def _vite(files: AppFiles, dependencies: frozenset[str], build: str) -> StaticOutput | None:
    if "vite build" not in build or _SERVER_PACKAGES & dependencies:
        return None
    return StaticOutput("Vite", _vite_folder(files), is_single_page=True)


def _expo(files: AppFiles, dependencies: frozenset[str], build: str) -> StaticOutput | None:
    return StaticOutput("Expo", "dist", is_single_page=True) if "expo export" in build else None


def _parcel(files: AppFiles, dependencies: frozenset[str], build: str) -> StaticOutput | None:
    return StaticOutput("Parcel", "dist", is_single_page=True) if "parcel build" in build else None


def _angular(files: AppFiles, dependencies: frozenset[str], build: str) -> StaticOutput | None:
    """Angular writes to dist/<project>/browser since version 17, before to dist/<project>."""
    projects = table(files.json("angular.json"), "projects")
    for name, project in projects.items():
        options = table(project, "architect", "build", "options")
        builder = text_at(project, "architect", "build", "builder")
        path = text_at(options, "outputPath") or text_at(options, "outputPath", "base") or f"dist/{name}"
        folder = f"{path}/browser" if builder.endswith((":application", ":browser-esbuild")) else path
        if "ssr" not in options and "server" not in options and _is_inside(folder):
            return StaticOutput("Angular", folder, is_single_page=True)
    return None


def _always(output: StaticOutput) -> "_Output":
    return lambda files, dependencies, build: output


_Output = Callable[[AppFiles, frozenset[str], str], StaticOutput | None]
_ASTRO_SERVERS = frozenset({"@astrojs/node", "@astrojs/vercel", "@astrojs/netlify", "@astrojs/cloudflare"})
# The first framework that an app depends on decides: those that contain others come first.
_OUTPUTS: tuple[tuple[frozenset[str], _Output], ...] = (
    (frozenset({"astro"}), _astro),
    (frozenset({"@sveltejs/kit"}), _svelte),
    (frozenset({"nuxt"}), _nuxt),
    (frozenset({"gatsby"}), _always(StaticOutput("Gatsby", "public", not_found="/404.html"))),
    (frozenset({"@docusaurus/core"}), _always(StaticOutput("Docusaurus", "build", not_found="/404.html"))),
    (frozenset({"vitepress"}), _vitepress),
    (frozenset({"@11ty/eleventy"}), _always(StaticOutput("Eleventy", "_site", not_found="/404.html"))),
    (frozenset({"react-scripts", "react-app-rewired", "@craco/craco"}),
     _always(StaticOutput("Create React App", "build", is_single_page=True))),
    (frozenset({"@angular/cli", "@angular/core"}), _angular),
    (frozenset({"@vue/cli-service"}), _always(StaticOutput("Vue CLI", "dist", is_single_page=True))),
    (frozenset({"vite"}), _vite),
    (frozenset({"expo"}), _expo),
    (frozenset({"parcel"}), _parcel),
)  # fmt: skip
_SERVER_PACKAGES = frozenset({
    "express", "fastify", "koa", "hono", "@hono/node-server", "@remix-run/node", "@react-router/node", "@solidjs/start",
    "@tanstack/react-start", "vike", "vite-plugin-ssr", "@builder.io/qwik-city", "h3",
})  # fmt: skip


def _configuration(files: AppFiles, name: str) -> str:
    return files.text(files.first(*(f"{name}.{suffix}" for suffix in ("js", "mjs", "ts", "cjs", "mts"))))


def _vite_folder(files: AppFiles) -> str:
    found = re.search(r"outDir\s*:\s*[\"'](?:\./)?([^\"']+)[\"']", _configuration(files, "vite.config"))
    return found[1] if found and _is_inside(found[1]) else "dist"


def _is_inside(folder: str) -> bool:
    return _PLAIN_FOLDER.fullmatch(folder) is not None and ".." not in folder.split("/")


def server_command(
    files: AppFiles, package: Mapping[str, Any], dependencies: Collection[str]
) -> tuple[str, str] | None:
    """The command of a framework's own server, for an app without a start script, and its name; None if unknown."""
    if "next" in dependencies:
        return "npx next start", "Next.js"
    if "nuxt" in dependencies:
        return "node .output/server/index.mjs", "Nuxt"
    if "astro" in dependencies and "@astrojs/node" in dependencies:
        return "node dist/server/entry.mjs", "Astro"
    if "@sveltejs/adapter-node" in dependencies:
        return "node build", "SvelteKit"
    if "@remix-run/serve" in dependencies:
        return "npx remix-serve build/server/index.js", "Remix"
    if "@react-router/serve" in dependencies:
        return "npx react-router-serve build/server/index.js", "React Router"
    return None
