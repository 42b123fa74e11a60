#!/usr/bin/env bash
# dev/k8s/check.sh [DEPLOY ARGUMENT...]: deploys examples/hello to the installation on Kubernetes whose ports are forwarded to 7400, 7401 and
# 7480, and asks the app. Ends with 0 only if it answers. The arguments are for `sealift deploy`, e.g. --image or --build-arg.
# SEALIFT_CHECK_DIRECTORY is another app, SEALIFT_URL another address.
set -euo pipefail
cd "$(dirname "$0")/../.."
. dev/lib.sh
project=hello-check
SEALIFT_API_KEY=$(kubectl -n sealift get secret sealift-admin-key -o jsonpath='{.data.admin\.key}' | base64 -d)
SEALIFT_URL=${SEALIFT_URL:-http://127.0.0.1:7400}
export SEALIFT_API_KEY SEALIFT_URL
said=$(.venv/bin/sealift projects create "$project" 2>&1) || grep -q slug_taken <<<"$said" || die "$said"
url=$(.venv/bin/sealift deploy "${SEALIFT_CHECK_DIRECTORY:-examples/hello}" --project "$project" "$@" | tail -n 1)
host=${url#*://}
host=${host%%/*}
# Not every resolver resolves *.localhost.
curl -sS --fail --max-time 10 --retry 10 --retry-connrefused --resolve "$host:127.0.0.1" "$url"
say "$url answers."
