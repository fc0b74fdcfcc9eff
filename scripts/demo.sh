#!/bin/sh
# npm run demo: builds what is missing, then tells the main job line by line (scripts/demo/main.ts). Root or not.
set -eu
cd "$(dirname "$0")/.."
[ -d node_modules ] || { echo 'The libraries are missing: run `npm ci` first.' >&2; exit 2; }
for tool in ip unshare nsenter; do
  PATH=$PATH:/usr/sbin:/sbin command -v $tool >/dev/null || { echo "Not installed: $tool (packages iproute2, util-linux)" >&2; exit 2; }
done
# `tsc -b` compiles only what changed. Without the compiler (npm ci --omit=dev) or the right to write, what is built has to do.
if [ -x node_modules/.bin/tsc ] && [ -w . ]; then
  node_modules/.bin/tsc -b >&2
elif [ ! -f dist/node/cli/main.js ]; then
  echo 'Nothing is built here, and it cannot be: this needs `npm ci` with development packages in a writable folder.' >&2
  exit 2
fi
exec node dist/tools/scripts/demo/main.js "$@"
