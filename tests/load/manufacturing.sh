#!/usr/bin/env bash
# Measures the import of a manufacturing file with certificates, one bad line in the middle: new, and once more when all is there.
# Fails when the report is not as it should be.
#   DEVICES=100000 tests/load/manufacturing.sh
# STORE_URL=postgres://... measures on PostgreSQL, in a schema of its own. PROFILE=debug takes debug builds.
set -euo pipefail
cd "$(dirname "$0")/../.."
devices=${DEVICES:-100000} profile=${PROFILE:-release}
[ -n "${SKIP_BUILD:-}" ] || cargo build --release -q -p eim-server -p eim-simulator
bin=${CARGO_TARGET_DIR:-target}/$profile folder=$(mktemp -d) schema=eim_manufacturing_$$ server=
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

bad=$((devices / 2))
"$bin/eim-simulator" write-ci --out "$folder/ci" >/dev/null
"$bin/eim-simulator" manufacturing --devices "$devices" --bad "$bad" --out "$folder/made.csv"
echo "$devices lines, $(stat -c %s "$folder/made.csv") octets"
export EIM__DATA__DIR="$folder/data" EIM__PKI__CI_DIR="$folder/ci" EIM__LOG__LEVEL=warn
export EIM__ESIPA__LISTEN=127.0.0.1:18843 EIM__API__LISTEN=127.0.0.1:18880
if [ -n "${STORE_URL:-}" ]; then
  psql -q "$STORE_URL" -c "CREATE SCHEMA $schema"
  separator='?'; case $STORE_URL in *\?*) separator='&' ;; esac
  export EIM__STORE__URL="$STORE_URL${separator}options=-csearch_path%3D$schema"
  "$bin/eim-server" migrate >/dev/null
fi
"$bin/eim-server" serve 2>"$folder/server.log" & server=$!
for _ in $(seq 300); do
  kill -0 "$server" || exit 1
  curl -sf http://127.0.0.1:18880/readyz >/dev/null && break
  sleep 0.1
done
EIM_API_KEY=$("$bin/eim-server" api-key create --role operator --name load 2>/dev/null); export EIM_API_KEY
memory() { echo "$1 $(awk '/VmHWM/ {printf "peak %d MB", $2 / 1024} /VmRSS/ {printf ", now %d MB", $2 / 1024}' "/proc/$server/status")"; }

memory "memory at first:"
for what in created exists; do
  started=$(date +%s.%N) status=0
  "$bin/eim-server" ctl --url http://127.0.0.1:18880 --json devices import --manufacturing "$folder/made.csv" >"$folder/$what.log" || status=$?
  [ "$status" = 1 ] || { echo "the exit code is $status, and not 1 for the bad line"; exit 1; }
  echo "$what: $(echo "$(date +%s.%N) - $started" | bc) s"
  memory "memory after it:"
  [ "$(wc -l <"$folder/$what.log")" = 2 ] || { echo "one line and a summary are expected"; exit 1; }
  grep -q "\"line\":$((bad + 2)),\|\"line\":$((bad + 2))}" "$folder/$what.log" || { echo "the bad line is not named"; exit 1; }
  grep -q "\"$what\":$((devices - 1))[,}]" "$folder/$what.log" || { cat "$folder/$what.log"; exit 1; }
done
found=$(curl -sf -H "Authorization: Bearer $EIM_API_KEY" "http://127.0.0.1:18880/api/v1/exports/euiccs?format=ndjson" | wc -l)
[ "$found" = $((devices - 1)) ] || { echo "$found devices are there"; exit 1; }
echo "the bad line left nothing behind: $found devices are there"
