#!/bin/sh
# Writes the locks: every package with its hashes, and no registry's address.
set -eu
cd "$(dirname "$0")/.."
lock() {
    output=$1; shift
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --custom-compile-command 'make lock' \
        --output-file "requirements/$output" "$@"
}
lock build.txt --group build
lock node.txt pyproject.toml
lock executor.txt pyproject.toml --extra app --overrides requirements/overrides.txt
lock executor-gpu.txt pyproject.toml --extra gpu --overrides requirements/overrides.txt
lock dev.txt pyproject.toml --extra dev
