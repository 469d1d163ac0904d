#!/bin/sh
# Fills /venv in the build stage of an image.
#
#   install.sh dependencies EXTRAS      what those extras need, of the versions and hashes in
#                                       requirements/, wheels only
#   install.sh project COMMAND FOLDER   SplitFER itself, without the other side's
#
# The secrets of the build, where there are any: certificates to trust, and a pip.conf.
set -eu
[ ! -s /run/secrets/ca ] || export PIP_CERT=/run/secrets/ca
[ ! -s /run/secrets/pip ] || export PIP_CONFIG_FILE=/run/secrets/pip
case $1 in
dependencies)
    python3 -m venv /venv
    # A pip that takes hashes from a constraints file, which the one that comes with Python does not.
    sed -n '/^pip==/,/[^\\]$/p' requirements/dev.txt > /tmp/pip.txt
    /venv/bin/pip install --quiet --no-cache-dir --require-hashes --only-binary :all: \
        --requirement /tmp/pip.txt
    lock=requirements/run.txt
    case $2 in *ray* | *tracing*) lock=requirements/dev.txt ;; esac
    /venv/bin/python3 - "$2" > /tmp/needed.txt <<'PYTHON'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
print(*project["dependencies"], *sum((extras[name] for name in sys.argv[1].split(",")), []), sep="\n")
PYTHON
    /venv/bin/pip install --quiet --no-cache-dir --require-hashes --only-binary :all: \
        --constraint "$lock" --requirement /tmp/needed.txt
    ;;
project)
    # Compiles the entropy code; setuptools serves for that and goes again.
    /venv/bin/pip install --quiet --no-cache-dir --require-hashes --only-binary :all: \
        --constraint requirements/run.txt setuptools
    /venv/bin/pip install --quiet --no-cache-dir --no-deps --no-build-isolation .
    site=$(/venv/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    rm -rf "${site:?}/$3" "/venv/bin/$2"
    /venv/bin/pip uninstall --quiet --yes setuptools pip
    ;;
esac
