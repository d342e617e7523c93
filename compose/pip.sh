#!/bin/sh
# pip, in the images' build stages. Behind a proxy that opens TLS, the authorities to trust come
# in as a build secret (FEDSTATE_CA_BUNDLE), which leaves nothing in the image.
set -eu
if [ -s /run/secrets/ca-bundle ]; then
    export PIP_CERT=/run/secrets/ca-bundle
fi
exec /opt/pip/bin/pip --disable-pip-version-check --no-input --quiet "$@"
