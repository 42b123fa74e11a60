#!/usr/bin/env bash
# dev/k8s/upgrade.sh OVERLAY: brings an installation to the images and the configuration of an overlay, e.g. of a newer checkout.
# New work is recorded and held back meanwhile, so that no workflow meets code with other steps; apps go on being served.
# dev/k8s/upgrade.sh --resume: only lets the work that was held back begin, after an upgrade that failed or was given up.
# dev/k8s/upgrade.sh --restored: gives the database a new epoch, after a backup was put back and before the services start.
set -euo pipefail
cd "$(dirname "$0")"
namespace=sealift
say() { printf '%s\n' "$*" >&2; }
die() { say "upgrade: $*"; exit 1; }
get() { kubectl -n "$namespace" get "$@"; }

# say_waits SELECTOR: why containers and Pods do not start, each reason once.
told=""
say_waits() {
  local line each='{range .items[*]}{.metadata.name}{": "}{range .status.containerStatuses[*]}{.state.waiting.reason}{" "}{.state.waiting.message}{end}'
  each+='{range .status.conditions[?(@.type=="PodScheduled")]}{.reason}{" "}{.message}{end}{"\n"}{end}'
  while read -r line; do
    case $line in
      *ImagePull* | *Invalid* | *Unschedulable* | *CrashLoop* | *Create*Error* | *RunContainerError*) ;;
      *) continue ;;
    esac
    [[ $told == *"$line"* ]] || say "waiting for Pod $line"
    told+=$line
  done < <(get pods -l "$1" -o jsonpath="$each" 2>/dev/null)
}

# wait_for_rollout WORKLOAD SECONDS: until its Pods are those of the overlay, and ready.
wait_for_rollout() {
  local end=$((SECONDS + $2))
  get "$1" >/dev/null
  until kubectl -n "$namespace" rollout status "$1" --timeout=10s 2> >(grep -v 'timed out waiting' >&2) >&2; do
    ((SECONDS < end)) || die "$1 is not ready after $2 s."
    say_waits "app.kubernetes.io/name=${1##*-}"
    sleep 1
  done
}

# wait_for_job NAME SECONDS: until it has succeeded; prints what it said. kubectl can't wait for one of two conditions.
wait_for_job() {
  local end=$((SECONDS + $2)) conditions
  while :; do
    conditions=$(get job "$1" -o jsonpath='{.status.conditions[?(@.status=="True")].type}')
    case " $conditions " in
      *" Complete "*) break ;;
      *" Failed "*) kubectl -n "$namespace" logs "job/$1" >&2 || true; die "job $1 failed." ;;
    esac
    ((SECONDS < end)) || die "job $1 has not ended after $2 s."
    say_waits "job-name=$1"
    sleep 2
  done
  kubectl -n "$namespace" logs "job/$1" >&2 || true
}

# run_job NAME SECONDS: a Job of jobs/, with the image of the api that runs.
run_job() {
  local image
  image=$(get deployment sealift-api -o jsonpath='{.spec.template.spec.containers[?(@.name=="api")].image}')
  kubectl -n "$namespace" delete job "sealift-$1" --ignore-not-found >&2
  sed "s|image: sealift/api:dev|image: $image|" "jobs/$1.yaml" | kubectl apply -f - >&2
  wait_for_job "sealift-$1" "$2"
}

[ $# = 1 ] || die "which overlay? upgrade.sh FOLDER, upgrade.sh --resume or upgrade.sh --restored"
case $1 in
  --resume | --restored)
    run_job "${1#--}" 600
    exit ;;
esac
overlay=$(cd "$OLDPWD" && cd "$1" && pwd) || die "there is no folder $1."
kubectl kustomize "$overlay" >/dev/null

say "draining ..."
run_job drain 2100
trap '[ $? = 0 ] || say "The drain goes on: run upgrade.sh again, or upgrade.sh --resume."' EXIT
say "applying $overlay ..."
kubectl -n "$namespace" delete job sealift-migrate --ignore-not-found >&2
kubectl apply -k "$overlay" >&2
wait_for_job sealift-migrate 900
for workload in statefulset/sealift-restate deployment/sealift-api deployment/sealift-worker deployment/sealift-krane; do
  wait_for_rollout "$workload" 600
done
say "resuming ..."
run_job resume 600
say "Upgraded."
