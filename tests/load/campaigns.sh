#!/usr/bin/env bash
# Measures, in one run on one machine: how long it takes to make a campaign over a whole fleet and to show it, and how many
# polls the fleet makes beside it, at several paces and without one. Compares devices and API in the end, and fails on a difference.
#   DEVICES=100000 PACES=600,6000 SECONDS_EACH=10 TO_THE_END=1 tests/load/campaigns.sh
# STORE_URL=postgres://... measures on PostgreSQL, in a schema of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."
devices=${DEVICES:-100000} paces=${PACES:-600,6000} seconds=${SECONDS_EACH:-10}
[ -n "${SKIP_BUILD:-}" ] || cargo build --release -q -p eim-server -p eim-simulator
bin=${CARGO_TARGET_DIR:-target}/release folder=$(mktemp -d) schema=eim_load_$$ server=
end() {
  local status=$?
  trap - EXIT
  [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  [ -z "${STORE_URL:-}" ] || psql -q "$STORE_URL" -c "DROP SCHEMA IF EXISTS $schema CASCADE" 2>/dev/null || true
  [ "$status" = 0 ] || tail -n 20 "$folder/server.log" 2>/dev/null || true
  rm -rf "$folder"
  exit "$status"
}
trap end EXIT

"$bin/eim-simulator" write-ci --out "$folder/ci" >/dev/null
export EIM__DATA__DIR="$folder/data" EIM__PKI__CI_DIR="$folder/ci" EIM__LOG__LEVEL=warn
export EIM__ESIPA__LISTEN=127.0.0.1:18743 EIM__API__LISTEN=127.0.0.1:18780
# A few devices on a few connections ask as fast as they can here, which is what the limits are against.
export EIM__LIMITS__CONNECTION_PER_SECOND=1000000 EIM__LIMITS__CONNECTION_BURST=1000000
export EIM__LIMITS__EID_PER_SECOND=1000000 EIM__LIMITS__EID_BURST=1000000
export EIM__LIMITS__API_KEY_PER_SECOND=1000000 EIM__LIMITS__API_KEY_BURST=1000000 EIM__LIMITS__API_KEY_AT_ONCE=4096
if [ -n "${STORE_URL:-}" ]; then
  psql -q "$STORE_URL" -c "CREATE SCHEMA $schema"
  separator='?'; case $STORE_URL in *\?*) separator='&' ;; esac
  export EIM__STORE__URL="$STORE_URL${separator}options=-csearch_path%3D$schema"
  "$bin/eim-server" migrate >/dev/null
fi
"$bin/eim-server" eim config-data --format der --out "$folder/eim.der" >/dev/null 2>&1
"$bin/eim-simulator" registrations --add-initial-eim "$folder/eim-add-initial.der" --devices "$devices" --out "$folder/devices.ndjson"
"$bin/eim-server" serve 2>"$folder/server.log" & server=$!
for _ in $(seq 300); do
  kill -0 "$server" || exit 1
  curl -sf http://127.0.0.1:18780/readyz >/dev/null && break
  sleep 0.1
done
EIM_API_KEY=$("$bin/eim-server" api-key create --role admin --name load 2>/dev/null); export EIM_API_KEY
memory() { echo "$1 $(awk '/VmHWM/ {printf "peak %d MB", $2 / 1024} /VmRSS/ {printf ", now %d MB", $2 / 1024}' "/proc/$server/status")"; }

memory "memory at first:"
started=$(date +%s.%N)
"$bin/eim-server" ctl --url http://127.0.0.1:18780 devices import "$folder/devices.ndjson" --format ndjson >"$folder/import.log"
echo "$devices devices imported in $(echo "$(date +%s.%N) - $started" | bc) s"
memory "memory after the import:"
"$bin/eim-simulator" campaigns --server https://127.0.0.1:18743 --server-name localhost --trust "$folder/data/tls-certificate.pem" \
  --api http://127.0.0.1:18780 --devices "$devices" --paces "$paces" --seconds "$seconds" ${TO_THE_END:+--to-the-end}
memory "memory in the end:"
