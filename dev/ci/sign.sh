#!/usr/bin/env bash
# dev/ci/sign.sh IMAGE@DIGEST SBOM: keyless signature of an index and of the images in it, and the SBOM as attestation.
# Needs cosign, a registry login and a job with id-token: write. May be repeated.
set -euo pipefail
image=$1 sbom=$2
cosign sign --yes --recursive "$image"
cosign attest --yes --type spdxjson --predicate "$sbom" "$image"
