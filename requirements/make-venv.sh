#!/bin/sh
# make-venv.sh VENV LOCK: a virtual environment with the hashed LOCK (uv) in it.
# Leaves the system's Python alone, so an externally managed one serves too. $PYTHON overrides the search.
set -eu
venv=$1 lock=$2

fail() { printf 'make: %s\n' "$@" >&2; exit 1; }

# usable PYTHON [EXCLUSIVE_MINOR]: it really runs (a pyenv shim may not) and is new enough.
usable() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, ${2:-99}))" >/dev/null 2>&1
}

find_python() {
    # Versions that the locked wheels were tried on come first; a newer one is better than none.
    for name in python3 python python3.13 python3.12 python3.11; do
        usable "$name" 14 && { echo "$name"; return; }
    done
    for name in python3 python python3.14 python3.15; do
        usable "$name" && { echo "$name"; return; }
    done
    return 1
}

if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" || fail "PYTHON=$PYTHON is not a Python >= 3.11 that runs."
    python=$PYTHON
else
    python=$(find_python) || fail "no Python >= 3.11 on the PATH." "Install one, or name it: make PYTHON=/path/to/python3.11 ..."
fi

# --without-pip works where the distribution keeps ensurepip back (Debian without python3-venv).
if ! "$python" -m venv --clear --without-pip "$venv"; then
    fail "$python cannot create a virtual environment in $venv." "Install its venv module (Debian: apt install python3-venv)."
fi
flags="--quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r $lock"
if "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m pip --python "$venv/bin/python" install $flags
elif "$venv/bin/python" -m ensurepip >/dev/null 2>&1; then
    "$venv/bin/python" -m pip install $flags
elif command -v pip3 >/dev/null 2>&1; then
    pip3 --python "$venv/bin/python" install $flags
else
    fail "$python has no pip, and none can be made from ensurepip." "Install pip (Debian: apt install python3-pip)."
fi
