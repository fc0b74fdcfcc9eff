#!/bin/sh
# npm run bench: builds, then measures inside a network namespace of its own (bench/world.ts), so that nothing of this
# machine's network is touched. Needs root for that; CPU time of other programs falsifies the figures.
set -eu
cd "$(dirname "$0")/.."
case " $* " in *' --help '* | *' -h '*) npx tsc -b && exec node dist/tools/bench/main.js --help ;; esac
if [ "$(id -u)" -ne 0 ]; then
  echo "The bench makes TAPs, veths and firewall rules for the peers it measures: run it as root (sudo npm run bench)." >&2
  exit 2
fi
npx tsc -b
exec unshare --net -- node dist/tools/bench/main.js "$@"
