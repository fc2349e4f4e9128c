#!/usr/bin/env bash
# Measures, in one run on one machine, what the eIM adds to a call to an SM-DP+ beside the same call without it, and many
# simultaneous indirect downloads with the peak memory of each process: embedded (SQLite, one process), and in production
# (PostgreSQL, RabbitMQ, a front and a worker). Prints figures; asserts only that every download arrived.
#   DEVICES=200 PROFILE_BYTES=30720 ROUNDS=1000 tests/load/downloads.sh
# Needs rabbitmq-server, psql and curl; PostgreSQL is at POSTGRES_URL.
set -euo pipefail
cd "$(dirname "$0")/../.."
devices=${DEVICES:-200} bytes=${PROFILE_BYTES:-30720} rounds=${ROUNDS:-1000}
postgres=${POSTGRES_URL:-postgres://postgres@127.0.0.1:5432/test}
amqp_port=${AMQP_PORT:-25683}
[ -n "${SKIP_BUILD:-}" ] || cargo build --release -q --workspace
bin=$PWD/target/release folder=$(mktemp -d) schema=eim_load_$$
pids=() broker=
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  pids=()
}
end() {
  local status=$?
  trap - EXIT
  stop
  [ -z "$broker" ] || end_broker
  psql -q "$postgres" -c "DROP SCHEMA IF EXISTS $schema CASCADE" 2>/dev/null || true
  [ "$status" = 0 ] || tail -n 20 "$folder"/*.log
  rm -rf "$folder"
  exit "$status"
}
trap end EXIT
until_true() { # seconds, what, command..
  local left=$(($1 * 10)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1)); [ "$left" -gt 0 ] || { echo "never came true: $what"; exit 1; }
    sleep 0.1
  done
}
. tests/crash/rabbitmq.sh

"$bin/eim-simulator" write-ci --out "$folder/ci" >/dev/null
"$bin/eim-server" --data-dir "$folder/keys" eim config-data --format der --out "$folder/eim.der" >/dev/null 2>&1
export EIM__EIM__SIGNING_KEY="$folder/keys/signing-key.pem" EIM__SECRETS__KEY="$folder/keys/secrets.key"
EIM__EIM__ID=$(cat "$folder/keys/eim-id"); export EIM__EIM__ID
export EIM__ESIPA__TLS_CERTIFICATE="$folder/keys/tls-certificate.pem" EIM__ESIPA__TLS_KEY="$folder/keys/tls-key.pem"
export EIM__PKI__CI_DIR="$folder/ci" EIM__LOG__LEVEL=warn EIM__OUTBOUND__ALLOW_PRIVATE=true
# A few devices on a few connections ask as fast as they can here, which is what the limits are against.
export EIM__LIMITS__CONNECTION_PER_SECOND=1000000 EIM__LIMITS__CONNECTION_BURST=1000000
export EIM__LIMITS__EID_PER_SECOND=1000000 EIM__LIMITS__EID_BURST=1000000
export EIM__LIMITS__API_KEY_PER_SECOND=1000000 EIM__LIMITS__API_KEY_BURST=1000000 EIM__LIMITS__API_KEY_AT_ONCE=4096
esipa=18643 api=18680
serve() { # name role number
  EIM__ESIPA__LISTEN=127.0.0.1:$((esipa + $3)) EIM__API__LISTEN=127.0.0.1:$((api + $3)) \
    "$bin/eim-server" serve --role "$2" --data-dir "$folder/$1" 2>>"$folder/$1.log" &
  pids+=("$!")
  until_true 30 "$1 is ready" curl -sf "http://127.0.0.1:$((api + $3))/readyz"
}
simulate() { # what, data directory of the front, arguments..
  local what=$1 front=$2; shift 2
  EIM_API_KEY=$("$bin/eim-server" --data-dir "$folder/$front" api-key create --role admin --name load 2>/dev/null) \
    "$bin/eim-simulator" "$what" --server "https://127.0.0.1:$esipa" --server-name localhost \
    --trust "$folder/keys/tls-certificate.pem" --api "http://127.0.0.1:$api" "$@" | grep -v '^installed'
}
memory() { # text before it
  for pid in "${pids[@]}"; do
    echo "$1 $(awk '/VmHWM/ {printf "peak %d MB", $2 / 1024} /VmRSS/ {printf ", now %d MB", $2 / 1024}' "/proc/$pid/status")"
  done
}

echo "== embedded: SQLite, one process"
serve relay all 0
simulate relay relay --devices 20 --rounds "$rounds"
stop
serve embedded all 0
memory "memory before:"
simulate downloads embedded --devices "$devices" --profile-bytes "$bytes"
memory "memory after:"
stop

echo "== production: PostgreSQL, RabbitMQ, a front and a worker"
start_broker
psql -q "$postgres" -c "CREATE SCHEMA $schema"
separator='?'; case $postgres in *\?*) separator='&' ;; esac
export EIM__STORE__URL="$postgres${separator}options=-csearch_path%3D$schema" EIM__STORE__POOL_SIZE=${POOL_SIZE:-8}
export EIM__QUEUE__URL="amqp://guest:guest@127.0.0.1:$amqp_port"
"$bin/eim-server" --data-dir "$folder/front" migrate >/dev/null
serve front front 0
serve worker worker 1
simulate relay front --devices 20 --rounds "$rounds"
stop
serve front front 0
serve worker worker 1
memory "memory before (front, then worker):"
simulate downloads front --devices "$devices" --first-device 1000 --profile-bytes "$bytes"
memory "memory after (front, then worker):"
