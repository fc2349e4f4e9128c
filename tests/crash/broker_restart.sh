#!/usr/bin/env bash
# Kills a worker and restarts RabbitMQ in the middle of many indirect downloads, and compares what the devices know in the
# end with the SM-DP+ and the API: every download succeeded, none twice, every notification delivered. Ends with another
# status than 0 on any difference.
#   DEVICES=200 KILL_AT=50 RESTART_AFTER=0.5 BROKER_SIGNAL=TERM tests/crash/broker_restart.sh
# The worker is killed when so many downloads are under way, the broker so many seconds later. What is still open when the
# broker is gone is read from the API; a run in which nothing was open proves nothing and fails.
# Everything is its own: a RabbitMQ node in a temporary folder, a PostgreSQL schema (in POSTGRES_URL), a front, two workers.
# BROKER_SIGNAL=KILL lets the broker crash instead of stop. Needs rabbitmq-server, psql and curl.
set -euo pipefail
cd "$(dirname "$0")/../.."
devices=${DEVICES:-200} kill_at=${KILL_AT:-50} restart_after=${RESTART_AFTER:-0.5} signal=${BROKER_SIGNAL:-TERM}
seconds=${SECONDS_MOST:-600} bytes=${PROFILE_BYTES:-30720}
postgres=${POSTGRES_URL:-postgres://postgres@127.0.0.1:5432/test}
amqp_port=${AMQP_PORT:-25673}
[ -n "${SKIP_BUILD:-}" ] || cargo build --release -q --workspace
bin=$PWD/target/release

folder=$(mktemp -d) schema=eim_crash_$$
pids=() broker=
end() {
  local status=$?
  trap - EXIT
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  [ -z "$broker" ] || end_broker
  psql -q "$postgres" -c "DROP SCHEMA IF EXISTS $schema CASCADE" 2>/dev/null || true
  [ "$status" = 0 ] || { echo "== logs"; tail -n 15 "$folder"/*.log; }
  if [ -n "${KEEP:-}" ]; then echo "kept in $folder"; else rm -rf "$folder"; fi
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
say() { echo "[$(date +%T)] $*"; }

. tests/crash/rabbitmq.sh
say "RabbitMQ starts on port $amqp_port"
start_broker

psql -q "$postgres" -c "CREATE SCHEMA $schema"
separator='?'; case $postgres in *\?*) separator='&' ;; esac
"$bin/eim-simulator" write-ci --out "$folder/ci" >/dev/null
# One identity for all: what the first command generates is what every process is given.
"$bin/eim-server" --data-dir "$folder/keys" eim config-data --format der --out "$folder/eim.der" >/dev/null 2>&1
export EIM__EIM__SIGNING_KEY="$folder/keys/signing-key.pem" EIM__SECRETS__KEY="$folder/keys/secrets.key"
EIM__EIM__ID=$(cat "$folder/keys/eim-id"); export EIM__EIM__ID
export EIM__ESIPA__TLS_CERTIFICATE="$folder/keys/tls-certificate.pem" EIM__ESIPA__TLS_KEY="$folder/keys/tls-key.pem"
export EIM__STORE__URL="$postgres${separator}options=-csearch_path%3D$schema"
export EIM__QUEUE__URL="amqp://guest:guest@127.0.0.1:$amqp_port" EIM__QUEUE__PREFIX="eimcrash$$"
export EIM__PKI__CI_DIR="$folder/ci" EIM__LOG__LEVEL=${LOG_LEVEL:-warn} EIM__OUTBOUND__ALLOW_PRIVATE=true
# So many processes share the database with others.
export EIM__STORE__POOL_SIZE=${POOL_SIZE:-8}
"$bin/eim-server" --data-dir "$folder/front" migrate >/dev/null
esipa=18543 api=18580
serve() { # name role esipa-port api-port
  EIM__ESIPA__LISTEN=127.0.0.1:$3 EIM__API__LISTEN=127.0.0.1:$4 \
    "$bin/eim-server" serve --role "$2" --data-dir "$folder/$1" 2>>"$folder/$1.log" &
  pids+=("$!")
  until_true 30 "$1 is ready" curl -sf "http://127.0.0.1:$4/readyz"
}
serve front front $esipa $api
front=${pids[-1]}
serve worker-1 worker $((esipa + 1)) $((api + 1)); victim=${pids[-1]}
serve worker-2 worker $((esipa + 2)) $((api + 2))
EIM_API_KEY=$("$bin/eim-server" --data-dir "$folder/front" api-key create --role admin --name crash 2>/dev/null)
export EIM_API_KEY
memory() { awk '/VmHWM/ {printf "%d MB", $2 / 1024}' "/proc/$1/status"; }

say "a front and two workers are ready; $devices devices begin"
"$bin/eim-simulator" downloads --server "https://127.0.0.1:$esipa" --server-name localhost \
  --trust "$folder/keys/tls-certificate.pem" --api "http://127.0.0.1:$api" --devices "$devices" \
  --profile-bytes "$bytes" --seconds "$seconds" >"$folder/devices.log" 2>&1 &
simulator=$!; pids+=("$simulator")
installed() { grep -c '^installed' "$folder/devices.log" || true; }
in_state() {
  curl -sf -H "Authorization: Bearer $EIM_API_KEY" "http://127.0.0.1:$api/api/v1/operations?state=$1&limit=1000" |
    grep -o '"kind":"profileDownload"' | wc -l || true
}
reached() { [ "$(in_state delivered)" -ge "$1" ] || ! kill -0 "$simulator" 2>/dev/null; }
until_true "$seconds" "$kill_at downloads are under way" reached "$kill_at"
kill -KILL "$victim"
say "worker 1 killed (SIGKILL); $(in_state delivered) downloads are under way, $(in_state succeeded) have succeeded"
sleep "$restart_after"
kill -"$signal" "$broker"
until_true 60 "the broker is gone" is_gone
open=$(($(in_state delivered) + $(in_state queued)))
say "RabbitMQ ended (SIG$signal); $open downloads are open, $(in_state succeeded) have succeeded"
start_broker
say "RabbitMQ is back"
until_true 60 "the front is ready again" curl -sf "http://127.0.0.1:$api/readyz"
say "the front is ready again, $(installed) of $devices devices have their profile"
status=0; wait "$simulator" || status=$?
if [ "$open" = 0 ]; then echo "no download was open when the broker ended: nothing was tested"; status=3; fi
grep -v '^installed' "$folder/devices.log" || true
echo "peak memory: front $(memory "$front"), worker 2 $(memory "${pids[2]}")"
dead=$("${rabbit_env[@]}" "$rabbit/rabbitmqctl" -q list_queues name messages 2>/dev/null | awk '/\.dead/ {print $2}') || dead=
echo "messages among the dead letters: ${dead:-unknown}"
[ "$status" = 0 ] && say "nothing is lost and nothing is doubled" || say "FAILED"
exit "$status"
