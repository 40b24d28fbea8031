#!/bin/sh
# Runs one leg of the relay, and hands the baton over at its end.
#
# usage: leg.sh COMMAND    (the command to run at the end of the leg; RUNNER in the environment names the runner)
set -eu
echo "$RUNNER has the baton"
for metres in 100 200 300 400; do
    sleep 0.12
    echo "$RUNNER: $metres m" >> leg.log
done
echo "$RUNNER hands over"
$1
