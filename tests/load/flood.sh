#!/usr/bin/env bash
# Measures, in one run on one machine: the polls of devices at a moderate pace, alone and beside a flood of the EID of another device
# over many connections (valid polls of a package, results that are not true; with STRANGERS=1 EIDs that nobody knows as well). With the limits of
# default.toml.
# Prints the ratio of the 99th percentiles and fails above twice, or when a poll of the others fails.
#   DEVICES=500 POLLS_PER_SECOND=1000 FLOOD_CONNECTIONS=192 SECONDS_EACH=5 ROUNDS=3 tests/load/flood.sh
# STORE_URL=postgres://... measures on PostgreSQL, in a schema of its own. PROFILE=debug takes debug builds. What is set as
# EIM__LIMITS__.. holds, so that a limit can be measured as if it were not there.
set -euo pipefail
cd "$(dirname "$0")/../.."
devices=${DEVICES:-500} profile=${PROFILE:-release}
[ -n "${SKIP_BUILD:-}" ] || cargo build --release -q -p eim-server -p eim-simulator
bin=${CARGO_TARGET_DIR:-target}/$profile folder=$(mktemp -d) schema=eim_flood_$$ server=
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
export EIM__ESIPA__LISTEN=127.0.0.1:18943 EIM__API__LISTEN=127.0.0.1:18980
if [ -n "${STORE_URL:-}" ]; then
  psql -q "$STORE_URL" -c "CREATE SCHEMA $schema"
  separator='?'; case $STORE_URL in *\?*) separator='&' ;; esac
  export EIM__STORE__URL="$STORE_URL${separator}options=-csearch_path%3D$schema"
  "$bin/eim-server" migrate >/dev/null
fi
"$bin/eim-server" serve 2>"$folder/server.log" & server=$!
for _ in $(seq 300); do
  kill -0 "$server" || exit 1
  curl -sf http://127.0.0.1:18980/readyz >/dev/null && break
  sleep 0.1
done
EIM_API_KEY=$("$bin/eim-server" api-key create --role admin --name load 2>/dev/null); export EIM_API_KEY
status=0
"$bin/eim-simulator" flood --server https://127.0.0.1:18943 --server-name localhost --trust "$folder/data/tls-certificate.pem" \
  --api http://127.0.0.1:18980 --devices "$devices" --polls-per-second "${POLLS_PER_SECOND:-1000}" \
  --flood-connections "${FLOOD_CONNECTIONS:-192}" --seconds "${SECONDS_EACH:-5}" --rounds "${ROUNDS:-3}" \
  ${STRANGERS:+--strangers} || status=$?
curl -s http://127.0.0.1:18980/metrics | grep -E '^eim_(requests_refused|requests_paced|connections_ended)_total' || true
echo "log: $(wc -l <"$folder/server.log") lines"
awk '/VmHWM/ {printf "memory: peak %d MB\n", $2 / 1024}' "/proc/$server/status"
exit "$status"
