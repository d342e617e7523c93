#!/bin/sh
# Makes a machine able to run `docker compose up`: an engine, Compose, and the base image.
#
# Where they are there already, it changes nothing. Where they are not, it needs root on Debian:
# it installs the engine from the machine's own package mirror and starts it, takes Compose from
# the next Debian release, and, where no image registry can be reached, makes the base image
# from Debian's packages.
set -eu
cd "$(dirname "$0")/.."

base=${FEDSTATE_PYTHON_IMAGE:-python:3.13-slim-trixie}
suite=trixie # Debian 13: it has Python 3.13, and a Compose that reads `include`
log=/var/log/fedstate-engine.log
plugins=/usr/local/lib/docker/cli-plugins
authorities=/etc/ssl/certs/ca-certificates.crt

say() { echo "engine: $*"; }
fail() { echo "fedstate: $*" >&2; exit 1; }

need_root_on_debian() {
    [ "$(id -u)" = 0 ] && grep -q '^ID=debian$' /etc/os-release ||
        fail "$1, and only as root on Debian can this script change that; see to it, and start again."
}

# quietly WHAT COMMAND...: runs it, and shows its output only if it fails.
quietly() {
    what=$1; shift
    say "$what"
    "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "$what failed; the whole output is in $log."; }
}

# Prints the package mirror that this machine uses; reading the lists is what tells its name.
mirror() {
    # shellcheck disable=SC2016  # apt-get fills in these names
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian //p' | sort -u | head -n 1
}

# Lists that are missing or older than the mirror name packages that are not to be had.
install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    say "installing $*"
    apt-get install -y -q --no-install-recommends "$@" >>"$log" 2>&1 && return
    quietly "reading the package lists" apt-get update -q
    quietly "installing $*" apt-get install -y -q --no-install-recommends "$@"
}

# A docker client from elsewhere, first in PATH, can be too new to speak to Debian's engine. It is
# asked twice, since the engine may come up between two questions.
engine_answers() {
    docker info >/dev/null 2>&1 && return
    /usr/bin/docker info >/dev/null 2>&1 || return 1
    docker info >/dev/null 2>&1 && return
    say "$(command -v docker) does not speak to this engine, /usr/bin/docker does: export PATH=/usr/bin:\$PATH"
    PATH=/usr/bin:$PATH
}

start_engine() {
    command -v dockerd >/dev/null || install_packages docker.io iptables
    # Since Debian 13 the client is a package of its own.
    command -v docker >/dev/null || install_packages docker-cli
    if [ -d /run/systemd/system ]; then
        quietly "starting the docker service" systemctl start docker
    else
        # An engine that was killed leaves its process id behind, and the next refuses to start.
        left=$(cat /var/run/docker.pid 2>/dev/null || true)
        [ "$(cat "/proc/${left:-none}/comm" 2>/dev/null)" = dockerd ] || rm -f /var/run/docker.pid
        say "starting dockerd; to stop it: kill \$(cat /var/run/docker.pid)"
        setsid dockerd >>"$log" 2>&1 </dev/null &
    fi
    for _ in $(seq 300); do
        if engine_answers; then return; fi
        sleep 0.1
    done
    tail -n 20 "$log" >&2
    fail "the Docker engine did not start within 30 seconds; the whole output is in $log."
}

install_compose() {
    [ -n "$(mirror)" ] || quietly "reading the package lists" apt-get update -q
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$plugins"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $suite main" \
        >"$work/sources.list"
    set -- -q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache::Archives=$work/archives" \
        -o APT::Sandbox::User=root
    quietly "reading the package lists of $suite" apt-get "$@" update
    (cd "$work" && quietly "downloading Compose" apt-get "$@" download docker-compose)
    dpkg-deb --extract "$work"/docker-compose_*.deb "$work/compose"
    install "$(find "$work/compose" -type f -path '*cli-plugins/docker-compose')" "$plugins/"
}

make_base_image() {
    [ "$base" = "python:3.13-slim-$suite" ] ||
        fail "the image '$base' cannot be pulled; unset FEDSTATE_PYTHON_IMAGE, or load the image."
    command -v mmdebstrap >/dev/null || install_packages mmdebstrap
    quietly "making $base from Debian's packages" mmdebstrap --variant=minbase --format=tar \
        --include=python3,python3-venv,ca-certificates "$suite" "$work/base.tar" "$(mirror)"
    quietly "importing it" docker import "$work/base.tar" "$base"
}

# Without a registry there is a mirror, which builds reach through the host's network and whose
# authority they must trust.
write_settings() {
    grep -qs '^FEDSTATE_BUILD_NETWORK=' .env && return
    say "writing into .env that builds use this machine's network and trust its authorities"
    echo "FEDSTATE_BUILD_NETWORK=host" >>.env
    [ ! -s "$authorities" ] || echo "FEDSTATE_CA_BUNDLE=$authorities" >>.env
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! engine_answers; then
    need_root_on_debian "no Docker engine answers"
    start_engine
fi
if ! docker compose version >/dev/null 2>&1; then
    need_root_on_debian "Docker has no Compose plugin"
    install_compose
fi
if ! docker image inspect "$base" >/dev/null 2>&1 &&
    ! timeout 300 docker pull --quiet "$base" >/dev/null 2>&1; then
    need_root_on_debian "the image '$base' cannot be pulled"
    make_base_image
fi
# An image that no registry knows was made here.
if [ "$(docker image inspect --format '{{len .RepoDigests}}' "$base")" = 0 ]; then
    write_settings
fi
