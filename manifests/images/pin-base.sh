#!/bin/sh
# Pin the base image: replace the tag in images.env by tag and digest, as the registry gives it now.
set -eu
file=$(dirname "$0")/images.env
image=$(sed -n 's/^BASE_IMAGE=//p' "$file")
tagged=${image%@*}
if command -v skopeo >/dev/null; then
  digest=$(skopeo inspect --format '{{.Digest}}' "docker://$tagged")
elif docker info >/dev/null 2>&1; then
  digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$tagged")
else
  echo "pin-base: needs skopeo, or docker with its daemon" >&2
  exit 1
fi
case $digest in
  sha256:*) ;;
  *) echo "pin-base: the registry gave no digest for $tagged" >&2; exit 1 ;;
esac
printf 'BASE_IMAGE=%s@%s\n' "$tagged" "$digest" > "$file"
echo "pin-base: $tagged@$digest"
