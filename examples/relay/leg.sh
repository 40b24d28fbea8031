#!/bin/sh
# Runs one leg of the relay, and at its end hands the baton over.
#
# usage: leg.sh COMMAND    (the command that says that the leg is done; the environment names the RUNNER)
set -eu
echo "$RUNNER has the baton"
for metres in 100 200 300 400; do
    sleep 0.12
    echo "$RUNNER: $metres m" >> leg.log
done
echo "$RUNNER hands over"
$1
