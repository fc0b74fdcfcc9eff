#!/bin/sh
# A client, an application and a database on two networks:
#
#    client ── vmnet8 (nat) ── application ── vmnet2 (no way out) ── database
#
# The application has a NIC on each. The client finds it by name, and has no way to the database.
# Root is not needed. Everything lives in an instance of its own and is gone at the end.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
vmnet="node $here/../dist/node/cli/main.js"
base=$(mktemp -d)
export VMNET_RUN_DIR="$base/run" VMNET_STATE_DIR="$base/state"

guests=
finish() {
  for guest in $guests; do kill "$guest" 2>/dev/null || true; done
  $vmnet down >/dev/null || true
  rm -rf "$base"
}
trap finish EXIT

# answer TEXT: an HTTP server on port 80; relay URL: one that passes on what it gets from there.
answer='require("http").createServer((_, response) => response.end(process.argv[1])).listen(80)'
relay='require("http").createServer(async (_, response) => {
  const text = await (await fetch(process.argv[1])).text();
  response.end("the application says: " + text);
}).listen(80)'
# get URL: prints what is answered within 3 s, retrying while the server starts.
get='(async () => {
  for (const end = Date.now() + 3000; Date.now() < end; ) {
    try {
      return console.log(await (await fetch(process.argv[1], { signal: AbortSignal.timeout(1000) })).text());
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  process.exit(1);
})()'

echo "== three networks"
$vmnet up --detach -f "$here/lab.yaml"

$vmnet ns --net vmnet2 --name database --ip 10.77.2.10/24 -- node -e "$answer" 'hello from the database' &
guests="$guests $!"
$vmnet ns --net vmnet8 --net vmnet2 --name application -- node -e "$relay" http://10.77.2.10/ &
guests="$guests $!"

echo "== the client asks the application, which asks the database"
$vmnet ns --net vmnet8 --name client -- node -e "$get" http://application.vmnet.internal/

echo "== the client asks the database itself"
case $($vmnet ns --net vmnet8 --name client -- node -e "$get" http://10.77.2.10/ || true) in
*database*)
  echo "it answered: that must not be" >&2
  exit 1
  ;;
esac
echo "it does not answer: there is no way from vmnet8 to vmnet2"

echo "== the topology"
$vmnet status
