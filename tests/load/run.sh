#!/usr/bin/env bash
# Measures, in one run on one machine: empty polls against a bare handler of the same sizes, the same with many pending
# operations, whole cycles, and the server's memory. Prints figures and ratios; asserts nothing.
#   SECONDS_EACH=8 DEVICES=1000 CONNECTIONS=64 PENDING=100000 COLD=20000 tests/load/run.sh
# STORE_URL=postgres://... measures on PostgreSQL, in a database that is empty.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${SECONDS_EACH:-8} devices=${DEVICES:-1000} connections=${CONNECTIONS:-64} pending=${PENDING:-100000} cold=${COLD:-20000}
cargo build --release -q -p eim-server -p eim-simulator
folder=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$folder"' EXIT

target/release/eim-simulator write-ci --out "$folder/ci" >/dev/null
export EIM__DATA__DIR="$folder/data" EIM__PKI__CI_DIR="$folder/ci"
export EIM__ESIPA__LISTEN=127.0.0.1:18443 EIM__API__LISTEN=127.0.0.1:18080 EIM__LOG__LEVEL=warn
# A few devices on a few connections ask as fast as they can here, which is what the limits are against.
export EIM__LIMITS__CONNECTION_PER_SECOND=1000000 EIM__LIMITS__CONNECTION_BURST=1000000
export EIM__LIMITS__EID_PER_SECOND=1000000 EIM__LIMITS__EID_BURST=1000000
export EIM__LIMITS__API_KEY_PER_SECOND=1000000 EIM__LIMITS__API_KEY_BURST=1000000 EIM__LIMITS__API_KEY_AT_ONCE=4096
if [ -n "${STORE_URL:-}" ]; then export EIM__STORE__URL="$STORE_URL"; target/release/eim-server migrate; fi
start() { target/release/eim-server serve 2>>"$folder/server.log" & server=$!; pids+=("$server"); }
ready() {
  for _ in $(seq 100); do
    kill -0 "$server" || { cat "$folder/server.log"; exit 1; }
    curl -sf http://127.0.0.1:18080/readyz >/dev/null && return
    sleep 0.1
  done
  exit 1
}
start
target/release/eim-simulator bare-server --listen 127.0.0.1:19443 --certificate-out "$folder/bare.der" >/dev/null 2>&1 & pids+=("$!")
ready
for _ in $(seq 100); do [ -s "$folder/bare.der" ] && break; sleep 0.1; done
EIM_API_KEY=$(target/release/eim-server api-key create --role admin --name load 2>/dev/null); export EIM_API_KEY
trust="$folder/data/tls-certificate.pem"

run() { target/release/eim-simulator load --connections "$connections" --seconds "${secs:-$seconds}" "$@"; }
eim=(--server https://127.0.0.1:18443 --server-name localhost --trust "$trust" --api http://127.0.0.1:18080)
memory() { awk '/VmRSS|VmHWM/ {printf "%s %d MB  ", $1, $2 / 1024} END {print ""}' "/proc/$server/status"; }

for round in 1 2; do
  echo "== bare handler, round $round";  run --server https://127.0.0.1:19443 --server-name localhost --trust "$folder/bare.der" --no-register --devices "$devices"
  echo "== empty polls, round $round";   run "${eim[@]}" --devices "$devices"
done
echo "== memory: $(memory)"
echo "== $pending operations pending on other eUICCs"
target/release/eim-simulator load "${eim[@]}" --seconds 1 --devices 1 --connections 1 --seed-operations "$pending" >/dev/null
for round in 1 2; do echo "== empty polls with them, round $round"; run "${eim[@]}" --devices "$devices"; done
echo "== polls that each have to ask the store: $cold devices polled once, after a restart"
secs=60 run "${eim[@]}" --devices "$cold" --first-device 1000000 --max-count "$cold" >/dev/null
kill "$server"; wait "$server" || true
start; ready
secs=60 run "${eim[@]}" --devices "$cold" --first-device 1000000 --max-count "$cold" --no-register
echo "== cycles"; run "${eim[@]}" --mode cycle --devices "$((devices / 4))"
echo "== memory: $(memory)"
