#!/bin/sh
# with-capabilities USER COMMAND...: runs a command as this user, who is not root, with the four
# capabilities that it takes to give each run a user of its own, and to end what such a user
# leaves behind. An engine gives capabilities to root alone, which hands them over here.
set -eu
user=$1; shift
four=+setuid,+setgid,+kill,+chown
exec setpriv --reuid="$user" --regid=fedstate --clear-groups \
    --inh-caps="$four" --ambient-caps="$four" "$@"
