"""For tests: small apps, shaped like the examples of frameworks and platforms, and what is found in them."""

import json

Files = dict[str, str]
FLASK = "from flask import Flask\n\napp = Flask(__name__)\n"
FASTAPI = "from fastapi import FastAPI\n\napp: FastAPI = FastAPI(title='x')\n"
MANAGE = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
GO_MAIN = "package main\n\nfunc main() {}\n"


def package(**keys: object) -> str:
    """A package.json."""
    return json.dumps(keys)


PYTHON: list[tuple[Files, str]] = [
    ({"requirements.txt": "Flask==3.0\ngunicorn\n", "app.py": FLASK},
     "Python 3.12 by requirements.txt, starts gunicorn --threads 8 app:app (app.py)"),
    ({"requirements.txt": "flask", "hello.py": FLASK.replace("app =", "web =")},
     "Python 3.12 by requirements.txt, starts gunicorn --threads 8 hello:web (hello.py; gunicorn is added)"),
    ({"requirements.txt": "flask", "shop/__init__.py": "def create_app(config=None):\n    app = Flask(__name__)\n"},
     "Python 3.12 by requirements.txt, starts gunicorn --threads 8 'shop:create_app()' (shop/__init__.py; gunicorn is "
     "added)"),
    ({"requirements.txt": "flask", "wsgi.py": "from shop import create_app\napp = create_app()\n",
      "shop/__init__.py": "def create_app():\n    return Flask(__name__)\n"},
     "Python 3.12 by requirements.txt, starts gunicorn --threads 8 wsgi:app (wsgi.py; gunicorn is added)"),
    ({"requirements.txt": "fastapi[standard]", "main.py": FASTAPI},
     "Python 3.12 by requirements.txt, starts uvicorn main:app --host 0.0.0.0 --port ${PORT:-8080} (main.py)"),
    ({"uv.lock": "",
      "pyproject.toml": '[project]\nrequires-python = ">=3.13"\ndependencies = ["fastapi", "uvicorn>=0.3"]',
      "src/app/main.py": FASTAPI},
     "Python 3.13 by uv.lock, starts uvicorn --app-dir src app.main:app --host 0.0.0.0 --port ${PORT:-8080} "
     "(src/app/main.py)"),
    ({"poetry.lock": "",
      "pyproject.toml": '[tool.poetry.dependencies]\npython = "~3.10"\nhypercorn = "*"\nfastapi = "*"',
      "app/main.py": FASTAPI},
     "Python 3.10 by poetry.lock, starts hypercorn --bind 0.0.0.0:${PORT:-8080} app.main:app (app/main.py)"),
    ({"requirements.txt": "Django>=5\nwhitenoise\ngunicorn", "manage.py": MANAGE, "shop/wsgi.py": "",
      "shop/settings.py": "",
      ".python-version": "3.11.9\n"},
     "Python 3.11 by requirements.txt, starts gunicorn --threads 8 shop.wsgi:application (shop/wsgi.py)"),
    ({"requirements.txt": "django\nchannels\ndaphne", "manage.py": MANAGE, "shop/asgi.py": "", "shop/wsgi.py": ""},
     "Python 3.12 by requirements.txt, starts daphne -b 0.0.0.0 -p ${PORT:-8080} shop.asgi:application (shop/asgi.py)"),
    ({"requirements.txt": "django", "backend/manage.py": MANAGE, "backend/shop/wsgi.py": ""},
     "Python 3.12 by requirements.txt, starts gunicorn --threads 8 --chdir backend shop.wsgi:application "
     "(backend/shop/wsgi.py; gunicorn is added)"),
    ({"requirements.txt": "django\ngunicorn", "manage.py": MANAGE, "shop/wsgi.py": "", "runtime.txt": "python-3.10.4",
      "Procfile": "release: python manage.py migrate\nweb: gunicorn shop.wsgi --log-file -\nworker: celery -A shop"},
     "Python 3.10 by requirements.txt, starts gunicorn shop.wsgi --log-file - (Procfile)"),
    ({"Pipfile": '[packages]\nflask = "*"\n[requires]\npython_version = "3.9"', "Pipfile.lock": "{}", "app.py": FLASK},
     "Python 3.9 by Pipfile.lock, starts gunicorn --threads 8 app:app (app.py; gunicorn is added)"),
    ({"requirements.txt": "streamlit", "charts.py": "import streamlit as st\n"},
     "Python 3.12 by requirements.txt, starts streamlit run charts.py --server.address 0.0.0.0 --server.port "
     "${PORT:-8080} --server.headless true (charts.py)"),
    ({"requirements.txt": "dash", "app.py": "from dash import Dash\napp = Dash()\n"},
     "Python 3.12 by requirements.txt, starts gunicorn --threads 8 app:app.server (app.py; gunicorn is added)"),
    ({"requirements.txt": "aiohttp", "main.py": "web.run_app(app)"},
     "Python 3.12 by requirements.txt, starts python main.py (main.py)"),
    ({"main.py": "import http.server\n"}, "Python 3.12 by main.py, starts python main.py (main.py)"),
    ({"Procfile": "web: python3 web.py", "web.py": "", "task.py": ""},
     "Python 3.12 by Procfile, starts python3 web.py (Procfile)"),
    ({"pyproject.toml": '[build-system]\n[project]\ndependencies = []\nscripts = {serve = "shop:main"}',
      "shop/__init__.py": ""},
     "Python 3.12 by pyproject.toml, starts serve (project.scripts of pyproject.toml)"),
    ({"requirements.txt": "-r requirements/base.txt", "requirements/base.txt": "flask\ngunicorn", "app.py": FLASK},
     "Python 3.12 by requirements.txt, starts gunicorn --threads 8 app:app (app.py)"),
]  # fmt: skip

NODE: list[tuple[Files, str]] = [
    ({"package.json": package(scripts={"start": "node index.js"}), "package-lock.json": "{}", "index.js": ""},
     "Node 22 by package-lock.json, starts node index.js (start script)"),
    ({"package.json": package(scripts={"start": "node --env-file=.env a.js && true"}), "yarn.lock": ""},
     "Node 22 by yarn.lock, starts yarn start: node --env-file=.env a.js && true (start script)"),
    ({"package.json": package(main="server.js", engines={"node": "20.x"}), "server.js": ""},
     "Node 20 by package.json, starts node server.js (main of package.json)"),
    ({"package.json": package(scripts={"build": "nest build", "start": "nest start", "start:prod": "node dist/main"}),
      "pnpm-lock.yaml": "lockfileVersion: '9.0'"},
     "Node 22 by pnpm-lock.yaml, runs the build script, starts node dist/main (start:prod script)"),
    ({"package.json": package(scripts={"dev": "next dev", "build": "next build"}, dependencies={"next": "15"}),
      ".nvmrc": "lts/iron"},
     "Node 20 by package.json, runs the build script, starts npx next start (Next.js)"),
    ({"package.json": package(scripts={"build": "next build", "start": "next start"}, dependencies={"next": "15"}),
      "next.config.mjs": "export default { output: 'export' }"},
     "Node 22 by package.json, runs the build script, serves out by nginx (Next.js)"),
    ({"package.json": package(scripts={"build": "tsc && vite build", "preview": "vite preview"},
      devDependencies={"vite": "7"}),
      "index.html": ""},
     "Node 22 by package.json, runs the build script, serves dist by nginx (Vite)"),
    ({"package.json": package(scripts={"start": "react-scripts start", "build": "react-scripts build"},
                              dependencies={"react-scripts": "5"}), "public/index.html": ""},
     "Node 22 by package.json, runs the build script, serves build by nginx (Create React App)"),
    ({"package.json": package(scripts={"start": "astro dev", "build": "astro build"}, dependencies={"astro": "5"})},
     "Node 22 by package.json, runs the build script, serves dist by nginx (Astro)"),
    ({"package.json": package(scripts={"build": "astro build"}, dependencies={"astro": "5", "@astrojs/node": "9"})},
     "Node 22 by package.json, runs the build script, starts node dist/server/entry.mjs (Astro)"),
    ({"package.json": package(scripts={"build": "nuxt build"}, dependencies={"nuxt": "3"})},
     "Node 22 by package.json, runs the build script, starts node .output/server/index.mjs (Nuxt)"),
    ({"package.json": package(scripts={"build": "vite build"}, devDependencies={"@sveltejs/kit": "2", "vite": "6",
                                                                                 "@sveltejs/adapter-node": "5"})},
     "Node 22 by package.json, runs the build script, starts node build (SvelteKit)"),
    ({"package.json": package(scripts={"start": "ng serve", "build": "ng build"}, dependencies={"@angular/core": "19"}),
      "angular.json": '{"projects": {"shop": {"architect": {"build": {"builder": "@angular/build:application"}}}}}'},
     "Node 22 by package.json, runs the build script, serves dist/shop/browser by nginx (Angular)"),
    ({"package.json": package(scripts={"build": "vite build", "start": "node server.js"}, dependencies={"vite": "6"})},
     "Node 22 by package.json, runs the build script, starts node server.js (start script)"),
    ({"package.json": package(scripts={"start": "nodemon app.js"}), "Procfile": "web: node app.js"},
     "Node 22 by package.json, starts node app.js (Procfile)"),
    ({"package.json": package(scripts={"start": "node a.js"}, packageManager="yarn@4.9.2"), "yarn.lock": ""},
     "Node 22 by yarn.lock, starts yarn start: node a.js (start script)"),
    ({"server.js": "require('http').createServer(f).listen(process.env.PORT)"},
     "Node 22 by server.js, starts node server.js (server.js)"),
]  # fmt: skip

OTHERS: list[tuple[Files, str]] = [
    ({"go.mod": "module x\n\ngo 1.21\n", "go.sum": "", "main.go": GO_MAIN},
      "Go 1.25 by go.mod, starts app (package main)"),
    ({"go.mod": "module x\ngo 1.26\ntoolchain go1.26.1\n", "cmd/shop/main.go": GO_MAIN, "shop/shop.go": "package shop"},
     "Go 1.26 by go.mod, starts app (./cmd/shop)"),
    ({"go.mod": "module x", "cmd/server/main.go": GO_MAIN, "cmd/migrate/main.go": GO_MAIN},
     "Go 1.25 by go.mod, starts app (./cmd/server)"),
    ({"go.mod": "module x", "main.go": GO_MAIN, "gen.go": "//go:build ignore\n\npackage main",
      "Procfile": "web: bin/x"},
     "Go 1.25 by go.mod, starts bin/x (Procfile)"),
    ({"index.html": "<p>", "style.css": ""}, "static site by index.html, serves the directory by nginx"),
    ({"public/index.html": "", "README.md": ""}, "static site by public/index.html, serves ./public by nginx"),
    ({"_site/index.html": ""}, "static site by _site/index.html, serves ./_site by nginx"),
    ({"index.html": "", "package.json": package(devDependencies={"prettier": "3"})},
     "static site by index.html, serves the directory by nginx"),
    ({"requirements.txt": "django\ngunicorn", "manage.py": MANAGE, "shop/wsgi.py": "",
      "package.json": package(scripts={"build": "tailwindcss -i a.css"}, devDependencies={"tailwindcss": "4"})},
     "Python 3.12 by requirements.txt, starts gunicorn --threads 8 shop.wsgi:application (shop/wsgi.py)"),
    ({"requirements.txt": "flask\ngunicorn", "app.py": FLASK, "package.json": package(scripts={"start": "node a.js"}),
      "Procfile": "web: gunicorn app:app"},
     "Python 3.12 by requirements.txt, starts gunicorn app:app (Procfile)"),
]  # fmt: skip
