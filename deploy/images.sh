#!/bin/sh
# Build both images: make images
#
#   BASE          image to build on (debian:bookworm-slim)
#   BASE_DIGEST   sha256:..., that image of the name and no other; where none, the digest of what the
#                 name means now, which is printed
#   EXTRAS        of the cloud image (cloud)
#   DOCKER_BUILD  further words for docker build
#
# Where no registry can be reached, the base is made here with mmdebstrap, or debootstrap, which is
# several times slower (Debian; root). PIP_CERT
# and PIP_CONFIG_FILE, where set, go into the build as secrets, so that pip finds in there what it
# finds out here; neither stays in an image.
set -eu
cd "$(dirname "$0")/.."
base=${BASE:-debian:bookworm-slim}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

digest=${BASE_DIGEST:-}
pinned=$base${digest:+@$digest}
if ! docker image inspect "$pinned" > /dev/null 2>&1 && ! docker pull --quiet "$pinned"; then
    if [ -n "$digest" ]; then
        echo "no registry has $pinned" >&2
        exit 1
    fi
    echo "no registry: $base is made here, of Debian's packages" >&2
    made=$(mktemp -d)
    trap 'rm -rf "$made"' EXIT
    if command -v mmdebstrap > /dev/null; then
        mmdebstrap --quiet --variant=minbase --include=python3 bookworm "$made/base.tar"
    else
        debootstrap --variant=minbase --include=python3 bookworm "$made/root" > /dev/null
        rm -rf "$made"/root/var/cache/apt/archives/*.deb "$made"/root/var/lib/apt/lists/*
        tar -C "$made/root" -cf "$made/base.tar" .
    fi
    docker import - "$base" < "$made/base.tar"
fi

if [ -z "$digest" ]; then
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$base" \
        | sed -n 's/.*@//p' | head -n 1)
    echo "BASE_DIGEST=${digest:-none: $base was made here}" >&2
fi

if command -v npm > /dev/null && command -v wasm-ld > /dev/null; then
    make web
else
    echo "no npm or no wasm-ld: the cloud image is without the edge for browsers" >&2
fi

set -- --network host --build-arg "BASE=$base" --build-arg "BASE_DIGEST=$digest"
[ -z "${PIP_CERT:-}" ] || set -- "$@" --secret "id=ca,src=$PIP_CERT"
[ -z "${PIP_CONFIG_FILE:-}" ] || set -- "$@" --secret "id=pip,src=$PIP_CONFIG_FILE"
export DOCKER_BUILDKIT=1
for side in cloud edge; do
    extras=$side
    [ "$side" = edge ] || extras=${EXTRAS:-cloud}
    # shellcheck disable=SC2086  # DOCKER_BUILD is words
    docker build "$@" ${DOCKER_BUILD:-} --build-arg "EXTRAS=$extras" \
        --file "deploy/Dockerfile.$side" --tag "splitfer-$side:$version" .
done
docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep '^splitfer-'
