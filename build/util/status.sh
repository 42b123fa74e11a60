#!/bin/sh
# What a release is stamped with (--config=release). Only facts of the commit: the same commit gives the same bytes.
# RELEASE_VERSION is v1.2.3, from the tag <service>/v1.2.3.
set -eu
case ${RELEASE_VERSION:-} in
  v[0-9]*.[0-9]*.[0-9]*) ;;
  *) echo "RELEASE_VERSION is '${RELEASE_VERSION:-}'; a stamped build needs a version like v1.2.3" >&2; exit 1 ;;
esac
echo "STABLE_VERSION $RELEASE_VERSION"
echo "STABLE_REVISION $(git rev-parse HEAD)"
echo "STABLE_COMMIT_TIME $(TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)"
