#!/bin/sh
# Build both images, with docker where its daemon answers, else with buildah.
#   REGISTRY  TAG      default: those of manifests/settings/settings.env
#   MODEL_DIR          checkpoint folder inside the repository; default: the Dockerfile's
#   BASE_IMAGE         default: that of images.env
#   BUILDER            the whole build command, options included
set -eu
here=$(dirname "$0")
root=$(cd "$here/../.." && pwd)

setting() { sed -n "s/^$2=//p" "$1"; }

registry=${REGISTRY:-$(setting "$here/../settings/settings.env" registry)}
tag=${TAG:-$(setting "$here/../settings/settings.env" tag)}
base=${BASE_IMAGE:-$(setting "$here/images.env" BASE_IMAGE)}
revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)

if [ -z "${BUILDER:-}" ]; then
  if docker info >/dev/null 2>&1; then
    BUILDER="docker build"
  elif command -v buildah >/dev/null; then
    BUILDER="buildah build --format docker"
  else
    echo "build: needs a docker daemon or buildah; found neither" >&2
    exit 1
  fi
fi

for service in transformer predictor; do
  set -- --build-arg "BASE_IMAGE=$base" --build-arg "VERSION=$tag" --build-arg "REVISION=$revision"
  if [ "$service" = predictor ] && [ -n "${MODEL_DIR:-}" ]; then
    set -- "$@" --build-arg "MODEL_DIR=$MODEL_DIR"
  fi
  echo "build: $registry/sentiment-$service:$tag from $base"
  # Unquoted: the builder is a command with its options.
  # shellcheck disable=SC2086
  $BUILDER "$@" --file "$root/Dockerfile.$service" --tag "$registry/sentiment-$service:$tag" "${CONTEXT:-$root}"
done
