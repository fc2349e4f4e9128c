# A RabbitMQ node of one's own in $folder: name, ports, cookie (in HOME), port mapper, data and logs. To be sourced.
# Wants $folder, $amqp_port and the function until_true; sets $broker, the process, once it is started.
rabbit=$(find /usr/lib/rabbitmq/lib -maxdepth 3 -name sbin 2>/dev/null | sort | tail -1 || true)
[ -n "$rabbit" ] || rabbit=$(dirname "$(command -v rabbitmq-server)")
export ERL_EPMD_PORT=$((amqp_port + 1)) ERL_EPMD_ADDRESS=127.0.0.1
broker=
rabbit_env=(env "HOME=$folder" "RABBITMQ_NODENAME=eimcrash$$@localhost" "RABBITMQ_NODE_PORT=$amqp_port"
  RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 "RABBITMQ_DIST_PORT=$((amqp_port + 20000))" "RABBITMQ_MNESIA_BASE=$folder/mnesia"
  "RABBITMQ_LOG_BASE=$folder/rabbit" "RABBITMQ_PID_FILE=$folder/rabbit.pid" "RABBITMQ_CONFIG_FILE=$folder/rabbit-none"
  "RABBITMQ_ENABLED_PLUGINS_FILE=$folder/plugins" RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-start_epmd\ true)
echo '[].' >"$folder/plugins"
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
is_gone() { ! kill -0 "$broker" 2>/dev/null; }
start_broker() {
  rm -f "$folder/rabbit.pid"
  "${rabbit_env[@]}" "$rabbit/rabbitmq-server" >>"$folder/rabbit-start.log" 2>&1 &
  until_true 60 "the broker names its process" test -s "$folder/rabbit.pid"
  broker=$(cat "$folder/rabbit.pid")
  until_true 60 "the broker answers" answers "$amqp_port"
}
end_broker() {
  [ -n "$broker" ] || return 0
  kill "$broker" 2>/dev/null || true
  for _ in $(seq 150); do is_gone && break; sleep 0.1; done
  # The port mapper of this node alone, by its port.
  epmd -kill >/dev/null 2>&1 || true
}
