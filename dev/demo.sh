#!/usr/bin/env bash
# dev/demo.sh: deploys examples/hello with the real CLI, changes a line, deploys again, rolls back. Run it through `make demo`.
# Leaves the stack running. Works on copies: no tracked file is changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. dev/lib.sh
supervisor=".venv/bin/python -m svc.standalone"
sealift=$PWD/.venv/bin/sealift

title() { printf '\n\033[1m== %s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi; }
field() { printf '%s' "$status" | .venv/bin/python -c "import json, sys; print(json.load(sys.stdin)['endpoints']['$1'])"; }

deploy() { # DIRECTORY: sets url
  printf '$ sealift deploy %s --build-arg BASE_IMAGE=%s\n' "$(basename "$1")" "$base"
  if ! url=$("$sealift" deploy "$1" --build-arg "BASE_IMAGE=$base" 2> >(tee "$work/deploy.log" >&2)); then
    if grep -qE 'No matching distribution|Could not find a version|CERTIFICATE_VERIFY_FAILED|NewConnectionError|NameResolutionError' "$work/deploy.log"; then
      die "builds on this machine can't reach the package index, and examples/hello installs one package with pip. \
Configure access (network, proxy, or a base image with a pip configuration), then run make demo again."
    fi
    die "the deploy failed, see above; the logs of the services are in $(field state_dir)/logs."
  fi
  url=$(tail -n 1 <<<"$url")
}

# An earlier demo left the environment rolled back: new deployments would not go live until a promote.
end_rollback() {
  local live
  live=$("$sealift" ls --project hello --json | grep '"is_live": true' | grep -o 'dep_[a-z0-9]*' | head -n 1) || return 0
  "$sealift" promote "$live" >"$work/promote.log" 2>&1 || grep -q already_live "$work/promote.log" || {
    cat "$work/promote.log" >&2
    die "could not undo the rollback of an earlier demo."
  }
}

ask() { # URL TEXT: curl the URL until the response contains TEXT, at most 10 s
  local host=${1#*://} answer
  host=${host%%/*}
  printf '$ curl %s\n' "$1"
  for _ in $(seq 100); do
    # Not every resolver resolves *.localhost.
    answer=$(curl -s --max-time 5 --resolve "$host:127.0.0.1" "$1") || true
    case $answer in *"$2"*) printf '%s\n' "$answer"; return ;; esac
    sleep 0.1
  done
  die "$1 should answer \"$2\", but answers \"$answer\"."
}

title "Start the stack"
$supervisor up --detach
status=$($supervisor status --json)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The CLI finds the default local stack and its key by itself; set here for stacks with other ports or directories.
SEALIFT_URL=http://$(field api)
SEALIFT_API_KEY_FILE=$(field state_dir)/secrets/admin.key
export SEALIFT_URL SEALIFT_API_KEY_FILE
base=$(dev/base_image.sh "$(field engine_socket)")
"$sealift" projects create hello >"$work/create.log" 2>&1 || grep -q slug_taken "$work/create.log" || {
  cat "$work/create.log" >&2
  die "could not create the project hello."
}
end_rollback

title "Deploy examples/hello from source"
cp -R examples/hello "$work/hello"
deploy "$work/hello"
live=$url
ask "$live" "version 1"

title "Change a line, deploy again"
sed -i 's/version 1/version 2/' "$work/hello/app.py"
diff -U0 examples/hello/app.py "$work/hello/app.py" | tail -n +4 || true
deploy "$work/hello"
ask "$live" "version 2"

title "Roll back"
printf '$ sealift rollback --project hello\n'
"$sealift" rollback --project hello
ask "$live" "version 1"

title "Deployments"
"$sealift" ls --project hello
cat <<END

The stack keeps running. Commands to try (from this directory):
  .venv/bin/sealift ls --project hello        deployments
  .venv/bin/sealift status --project hello    what is live
  .venv/bin/sealift promote --help            make the newer version live again
  curl $live
  make status                                 the processes of the stack; logs: $(field state_dir)/logs
Stop it: make down
END
