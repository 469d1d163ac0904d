#!/bin/sh
# Proves that the edge runs on 64-bit Arm: pip installs it from wheels alone in Debian's arm64 under
# qemu-user, and what it gives there is compared with what it gives here. See
# docs/contributing/arm64.md.
#
#   make arm64        BIN: where python, pip and uv are (.venv/bin)
#   SYSTEMS="trixie:3.13:cortex-a76" make arm64       Debian's release, its Python, qemu's processor
#   MIRROR=...        where Debian is; else where this machine's apt finds its own
#
# It needs root on a Debian machine, Linux 6.7 or later, and packages that it names where they are missing.
# Nothing of the machine is changed: arm64 programs start in a user namespace of their own.
set -eu
cd "$(dirname "$0")/../.."
BIN=$(cd "${BIN:-.venv/bin}" && pwd)
SYSTEMS=${SYSTEMS:-bookworm:3.11:cortex-a53 trixie:3.13:cortex-a76}
CACHE=$PWD/.cache/arm64
PICTURE=cloud_server/rest_api/page/example.jpg

say() { echo "arm64: $(date +%T) $*" >&2; }
die() { echo "arm64: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "run it as root: Debian's files belong to it"
for tool in qemu-aarch64-static:qemu-user-static mmdebstrap:mmdebstrap \
    aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu; do
    command -v "${tool%:*}" > /dev/null || die "${tool%:*} is missing: apt-get install ${tool#*:}"
done

# What /proc/cpuinfo says on a machine with such processors: ONNX Runtime chooses its kernels by it, and
# would die of this machine's.
cpuinfo() {
    case $1 in
    cortex-a53) part=0xd03 more= ;;  # Raspberry Pi 3, Zero 2 W
    cortex-a72) part=0xd08 more= ;;  # Raspberry Pi 4
    cortex-a76) part=0xd0b more=" atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp" ;;  # Raspberry Pi 5
    *) die "$1: cortex-a53, cortex-a72 and cortex-a76 are known here" ;;
    esac
    for number in $(seq 0 $(($(nproc --all) - 1))); do
        printf '%s\t: %s\n' processor "$number" Features "fp asimd evtstrm crc32 cpuid$more" \
            'CPU implementer' 0x41 'CPU architecture' 8 'CPU variant' 0x0 'CPU part' $part \
            'CPU revision' 4
        echo
    done
}

# in_arm COMMAND...: runs it in $root as on a machine with the processor $cpu.
in_arm() {
    nice -n 10 unshare --user --map-root-user --mount sh -eu -c '
        root=$1 cpu=$2 wheels=$3 proof=$4
        shift 4
        mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || {
            echo "arm64: Linux 6.7 or later is needed, which lets a user namespace say what runs arm64 programs" >&2
            exit 1
        }
        elf="\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00"
        mask="\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff"
        printf %s ":arm64:M::$elf:$mask:$(command -v qemu-aarch64-static):F" \
            > /proc/sys/fs/binfmt_misc/register
        mkdir -p "$root/proc" "$root/dev" "$root/sys" "$root/tmp" "$root/wheels" "$root/proof"
        for one in proc dev sys; do mount --rbind "/$one" "$root/$one"; done
        mount --bind "$proof/cpuinfo" "$root/proc/cpuinfo"
        mount --bind "$wheels" "$root/wheels"
        mount --bind "$proof" "$root/proof"
        exec env -i PATH=/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
            QEMU_CPU="$cpu" PYTHONWARNINGS=ignore \
            "$(command -v chroot)" "$root" "$@"
    ' in_arm "$root" "$cpu" "$wheels" "$proof" "$@"
}

make_root() {
    rm -rf "$root"
    mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Identifier: Packages' |
        grep -v security | head -n 1)}
    [ -n "$mirror" ] || die "apt on this machine has no Debian mirror: set MIRROR"
    # Unpacked, not configured: what Python and the wheels need is there, and no compiler.
    mmdebstrap --quiet --variant=extract --architectures=arm64 \
        --include=base-files,ca-certificates,coreutils,dash,libstdc++6,python3-venv "$suite" "$root" "$mirror"
    # Made where ca-certificates is configured. pip reads it, though in there it fetches nothing.
    cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
    touch "$root.made"
}

# The versions of the lock, as they are chosen for this Python on Arm, in wheels.
get_wheels() {
    "$BIN/uv" pip compile --quiet --python-version "$python" --only-binary :all: \
        --python-platform aarch64-manylinux_2_36 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --constraint requirements/run.txt --extra edge \
        --output-file "$wheels.new" pyproject.toml
    if ! cmp -s "$wheels.new" "$wheels.txt"; then
        rm -rf "$wheels" "$wheels.txt"
        platforms=$(for minor in $(seq 17 36); do echo "--platform manylinux_2_${minor}_aarch64"; done)
        # shellcheck disable=SC2086
        "$BIN/python" -m pip download --quiet --disable-pip-version-check --no-deps \
            --only-binary :all: $platforms --platform manylinux2014_aarch64 \
            --python-version "$python" --require-hashes --requirement "$wheels.new" --dest "$wheels"
        mv "$wheels.new" "$wheels.txt"
    fi
    rm -f "$wheels.new" "$wheels"/splitfer-*.whl
    cp "$CACHE"/splitfer-*.whl "$wheels"
}

mkdir -p "$CACHE"
say "the entropy code for aarch64, into a wheel"
BIN=$BIN sh deploy/arm64/wheel.sh "$CACHE"

here=$CACHE/x86
mkdir -p "$here"
log=$CACHE/server.log
: > "$log"
"$BIN/python" -m splitfer.cloud_server.cli serve --grpc-port 0 --http-port 0 2> "$log" &
server=$!
trap 'kill "$server" 2> /dev/null || true' EXIT
trap 'exit 130' HUP INT TERM
until address=$(sed -n 's/.* on grpc \([^ ,]*\),.*/\1/p' "$log") && [ -n "$address" ]; do
    kill -0 "$server" 2> /dev/null || die "the server did not start: $(tail -n 1 "$log")"
    sleep 0.2
done
say "what the edge gives on this machine"
"$BIN/python" deploy/arm64/measure.py "$here" "$PICTURE" --server "$address"

failed=0
for system in $SYSTEMS; do
    suite=${system%%:*} cpu=${system##*:}
    python=${system#*:} && python=${python%:*}
    root=$CACHE/$suite wheels=$CACHE/wheels-$python proof=$CACHE/proof-$suite
    [ -e "$root.made" ] || { say "Debian $suite for arm64, into $root"; make_root; }
    say "wheels for Python $python on aarch64"
    get_wheels
    rm -rf "$proof" && mkdir -p "$proof"
    cp -R deploy/arm64/measure.py "$PICTURE" "$here" "$proof"
    cpuinfo "$cpu" > "$proof/cpuinfo"
    say "pip install in there ($cpu; minutes)"
    in_arm python3 -m venv --clear /venv
    in_arm python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-index \
        --find-links /wheels --only-binary :all: 'splitfer[edge]'
    say "what the edge gives in there"
    in_arm python3 /proof/measure.py /proof "/proof/$(basename "$PICTURE")" \
        --other /proof/x86 --server "$address"
    "$BIN/python" deploy/arm64/compare.py "$here" "$proof" "$wheels" "Debian $suite, $cpu" || failed=1
done
exit $failed
