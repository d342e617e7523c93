#!/bin/sh
# new-node.sh K: writes compose/node-K.yml, which takes FEDSTATE_NODES=K to be possible.
set -eu
cd "$(dirname "$0")"
case ${1:-} in
    "" | *[!0-9]* | 0*)
        echo "fedstate: '${1:-}' is no node number; give 1, 2, 3, ..., as in: sh compose/new-node.sh 9" >&2
        exit 1 ;;
esac
k=$1
{
    echo "# Written by compose/new-node.sh: node $k, its volumes, its network, and the nodes before it."
    [ "$k" = 1 ] || echo "include: [node-$((k - 1)).yml]"
    cat <<EOF
services:
  enrol-$k:
    extends: {file: node.yml, service: enrol}
    volumes:
      - node-$k-identity:/var/lib/fedstate/identity
      - node-$k-runtime:/var/lib/fedstate/runtime

  supernode-$k:
    extends: {file: node.yml, service: supernode}
    depends_on:
      enrol-$k: {condition: service_completed_successfully}
    environment:
      FEDSTATE_NODE: "$k"
    volumes:
      - node-$k-identity:/var/lib/fedstate/identity:ro
      - node-$k-runtime:/var/lib/fedstate/runtime:ro
      - node-$k-state:/var/lib/fedstate/state
      - node-$k-output:/var/lib/fedstate/output
      - node-$k-socket:/var/lib/fedstate/socket
    networks:
      node-$k: {aliases: [runtime]}

  executor-$k:
    extends: {file: node.yml, service: executor}
    depends_on:
      enrol-$k: {condition: service_completed_successfully}
      supernode-$k: {condition: service_started}
    volumes:
      - node-$k-runtime:/var/lib/fedstate/runtime:ro
      - node-$k-output:/var/lib/fedstate/output
      - node-$k-socket:/var/lib/fedstate/socket:ro
    networks: [node-$k]

volumes:
  node-$k-identity: {}
  node-$k-runtime: {}
  node-$k-state: {}
  node-$k-output: {} # what runs print: their executor writes it, their SuperNode deletes it
  node-$k-socket: {} # by which the executor connects to its SuperNode

networks:
  node-$k:
    internal: "\${FEDSTATE_APPS_OFFLINE:-true}"
    driver_opts:
      com.docker.network.bridge.inhibit_ipv4: "\${FEDSTATE_APPS_OFFLINE:-true}"
EOF
} > "node-$k.yml"
