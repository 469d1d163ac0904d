#!/bin/sh
# Installs the edge client as a service on a device with systemd, from this checkout. Run again it
# brings the installation to this checkout's state, and keeps what was configured.
#
#   sudo sh deploy/edge-install.sh                 install, or update
#   sudo sh deploy/edge-install.sh uninstall       take it off; settings and state stay
#   sudo sh deploy/edge-install.sh uninstall --purge    these too
#
# WHEEL names a wheel of SplitFER to install, as deploy/arm64/wheel.sh makes one: else it is built
# here, with the device's compiler.
#
# PREFIX is put before every path (for packaging, and to try it out); then no service is started.
set -eu
PREFIX=${PREFIX:-}
OPT=$PREFIX/opt/splitfer-edge
ETC=$PREFIX/etc/splitfer-edge
STATE=$PREFIX/var/lib/splitfer-edge
UNIT=$PREFIX/etc/systemd/system/splitfer-edge@.service
BIN=$PREFIX/usr/local/bin/edge-client
HERE=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "edge-install: $*"; }
die() { echo "edge-install: $*" >&2; exit 1; }
live() { [ -z "$PREFIX" ] && [ -d /run/systemd/system ]; }

[ -n "$PREFIX" ] || [ "$(id -u)" = 0 ] || die "run it as root: sudo sh $0"

install_it() {
    command -v python3 > /dev/null || die "python3 is missing: apt-get install python3 python3-venv"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "Python 3.11 or later is needed; this is $(python3 --version)"
    python3 -c 'import venv, ensurepip' 2> /dev/null ||
        die "venv is missing: apt-get install python3-venv"
    mkdir -p "$OPT" "$ETC" "$STATE" "$(dirname "$UNIT")" "$(dirname "$BIN")"
    if [ -z "$PREFIX" ] && ! id splitfer-edge > /dev/null 2>&1; then
        useradd --system --home-dir /var/lib/splitfer-edge --shell /usr/sbin/nologin splitfer-edge
        say "made the user splitfer-edge"
    fi
    [ -x "$OPT/.venv/bin/python" ] || python3 -m venv "$OPT/.venv"
    if [ "${SKIP_PIP:-}" = yes ]; then
        say "packages are left as they are (SKIP_PIP)"
    else
        "$OPT/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --require-hashes --requirement "$HERE/requirements/run.txt"
        "$OPT/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --no-deps --no-build-isolation --force-reinstall "${WHEEL:-$HERE}"
    fi
    rm -rf "$OPT/docs"
    cp -R "$HERE/docs" "$OPT/docs"
    cp "$HERE/deploy/systemd/splitfer-edge@.service" "$UNIT"
    ln -sf /opt/splitfer-edge/.venv/bin/edge-client "$BIN"
    chmod 0755 "$ETC"
    if [ ! -e "$ETC/camera.yaml" ]; then
        cp "$HERE/deploy/edge-example.yaml" "$ETC/camera.yaml"
        say "wrote $ETC/camera.yaml: state the purpose in it"
    fi
    if [ ! -e "$ETC/camera.env" ]; then
        (umask 077 && printf '%s\n' '# SPLITFER_EDGE_MQTT_PASSWORD=' > "$ETC/camera.env")
    fi
    if [ -z "$PREFIX" ]; then chown splitfer-edge: "$STATE"; fi
    if live; then
        systemctl daemon-reload
        # What runs goes on with the new version; what was not started stays so.
        systemctl try-restart 'splitfer-edge@*.service'
    fi
    say "done; next: edge-client doctor --config $ETC/camera.yaml"
    say "then: systemctl enable --now splitfer-edge@camera"
}

uninstall() {
    if live; then systemctl stop 'splitfer-edge@*.service' 2> /dev/null || true; fi
    # `systemctl disable` takes no pattern. What stayed enabled would watch again, unasked, at the
    # first start after another installation.
    rm -f "$(dirname "$UNIT")"/*.wants/splitfer-edge@*.service
    rm -f "$UNIT" "$BIN"
    rm -rf "$OPT"
    if live; then systemctl daemon-reload; fi
    if [ "${1:-}" = --purge ]; then
        rm -rf "$ETC" "$STATE"
        if [ -z "$PREFIX" ] && id splitfer-edge > /dev/null 2>&1; then userdel splitfer-edge; fi
        say "taken off, with settings and state"
    else
        say "taken off; settings ($ETC) and state ($STATE) stay, --purge removes them"
    fi
}

case ${1:-install} in
install) install_it ;;
uninstall) uninstall "${2:-}" ;;
*) die "unknown word $1: install (the default) or uninstall [--purge]" ;;
esac
