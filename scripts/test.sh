#!/usr/bin/env bash
# `npm test`: everything that is checked, from a fresh clone: packages of Debian (as root), npm's, build, lint, unit tests
# and the end-to-end tests with real kernels as guests. Ends with the plain line `N passed, N failed`.
#
# An ordinary user runs it too: what needs root is skipped and named. With CI=true that is a failure.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
exec </dev/null # may be closed where we come from
export NO_UPDATE_NOTIFIER=1 npm_config_fund=false npm_config_audit=false
# `ip`, `nft`, `dhclient`, `udhcpc` live there, and ordinary users' PATH lacks them.
export PATH=$PATH:/usr/sbin:/sbin

results=.cache/test
rm -rf "$results"
mkdir -p "$results"

step() {
  local name=$1
  shift
  printf '\n== %s\n' "$name"
  "$@" && return
  printf '%s failed with exit status %d\n' "$name" "$?" | tee -a "$results/failed-steps" >&2
  return 1
}

give_up() {
  node scripts/test-summary.mjs "$results"
  exit 1
}

if [ "$(id -u)" -eq 0 ]; then
  step 'Debian packages' bash scripts/provision.sh || give_up
elif [ -n "$(bash scripts/provision.sh --list)" ]; then
  echo "Missing Debian packages, which scripts/provision.sh installs as root: $(bash scripts/provision.sh --list | tr '\n' ' ')"
fi

# npm writes node_modules/.package-lock.json as its last act: older than our lock means that an install is due.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  step 'npm ci' npm ci || give_up
fi
step 'build' npx --no-install tsc -b || give_up
step 'lint' npx --no-install biome check .
step 'unit tests' npx --no-install vitest run --config vitest.config.ts \
  --reporter=default --reporter=json --outputFile.json="$results/unit.json"
step 'end-to-end tests' npx --no-install vitest run --config vitest.e2e.config.ts \
  --reporter=default --reporter=json --outputFile.json="$results/e2e.json"

echo
node scripts/test-summary.mjs "$results" unit.json e2e.json
