#!/bin/sh
# with-connection COMMAND...: runs a tool whose default connection is the federation's SuperLink.
set -eu
if [ ! -f operator/config.toml ]; then
    echo "fedstate: the federation has not been started; start it: docker compose up --detach --wait" >&2
    exit 1
fi
# flwr keeps files of its own beside its configuration, and so needs a copy that it may write to.
mkdir -p "$FLWR_HOME"
cp operator/config.toml operator/credentials.yaml "$FLWR_HOME/"
exec "$@"
