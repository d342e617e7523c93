#!/bin/sh
# Makes .venv with everything that `make demo` and `make test` need, from the lock.
set -eu
cd "$(dirname "$0")/.."

python=""
for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "fedstate: no Python 3.11, 3.12 or 3.13 was found; install one, or name it: PYTHON=/path/to/python3.11 make demo" >&2
    exit 1
fi

# Debian and Ubuntu ship Python without ensurepip; the package that has it is python3-venv.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "Installing python$version-venv"
    if [ "$(id -u)" = 0 ]; then root=""; else root=sudo; fi
    $root apt-get update -q
    $root apt-get install -y -q --no-install-recommends "python$version-venv"
fi

echo "Installing fedstate and its packages into .venv (once)"
[ -x .venv/bin/pip ] || "$python" -m venv .venv
# The lock is complete, so nothing has to be resolved; and to compile on every core takes half the
# time. A file that is no Python of this version, as some packages carry, is nobody's mistake.
shown=".venv/bin/python requirements/progress.py"
$shown "  packages" .venv/bin/pip install --disable-pip-version-check --no-deps --no-compile \
    --require-hashes --progress-bar off -r requirements/dev.txt
$shown "  compiling" sh -c '.venv/bin/python -m compileall -q -j0 .venv/lib >/dev/null 2>&1 || true'
$shown "  fedstate" .venv/bin/pip install --disable-pip-version-check --no-deps \
    --no-build-isolation --editable .
touch .venv/ok
