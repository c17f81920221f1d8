# shellcheck shell=bash
# The private RabbitMQ of an instance, with an epmd (Erlang's name server) of its own. Sourced after
# processes.sh.
#
# The system's epmd on 4369 and /etc/rabbitmq are never used. epmd is supervised beside the broker,
# or the broker would start one as a daemon that nobody ends.

RABBITMQ_BIN=/usr/lib/rabbitmq/bin

rabbitmq_user() { echo "oncehook:$(secret RABBITMQ_PASSWORD)"; }
amqp_url() { echo "amqp://$(rabbitmq_user)@127.0.0.1:$(port AMQP_PORT)/%2f"; }
rabbitmq_api_url() { echo "http://$(rabbitmq_user)@127.0.0.1:$(port RABBITMQ_API_PORT)"; }

rabbitmq_metrics_url() { echo "http://127.0.0.1:$(port RABBITMQ_METRICS_PORT)"; }

as_rabbitmq=(setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups --)

rabbitmq_configure() {
    local home=$DATA/rabbitmq
    install -d -m 750 -o rabbitmq -g rabbitmq "$home"
    install -m 600 -o rabbitmq -g rabbitmq /dev/stdin "$home/rabbitmq.conf" <<CONF
listeners.tcp.default = 127.0.0.1:$(port AMQP_PORT)
management.tcp.ip = 127.0.0.1
management.tcp.port = $(port RABBITMQ_API_PORT)
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = $(port RABBITMQ_METRICS_PORT)

default_user = oncehook
default_pass = $(secret RABBITMQ_PASSWORD)
default_user_tags.administrator = true

# A developer's machine is shared, and its disk may be nearly full.
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB

# The management API's counts lag by this much; 5 s by default, long for somebody who waits.
collect_statistics_interval = 1000

log.console = true
log.console.level = info
log.file = false
CONF
    install -m 644 -o rabbitmq -g rabbitmq /dev/stdin "$home/enabled_plugins" \
        <<<'[rabbitmq_management,rabbitmq_prometheus].'
}

rabbitmq_start() {
    if ! alive epmd.supervisor; then
        stop epmd
        keep_port EPMD_PORT
    fi
    start epmd -- "${as_rabbitmq[@]}" env -i -C / PATH="$PATH" epmd -port "$(port EPMD_PORT)" -address 127.0.0.1
    await epmd 10 "$HERE/log/epmd.log" port_taken "$(port EPMD_PORT)"

    if alive rabbitmq.supervisor; then start rabbitmq; return; fi
    stop rabbitmq
    local key home=$DATA/rabbitmq
    for key in AMQP_PORT RABBITMQ_API_PORT RABBITMQ_METRICS_PORT RABBITMQ_DIST_PORT; do keep_port "$key"; done
    rabbitmq_configure
    local environment=(
        HOME="$home" # where the Erlang cookie is
        PATH="$PATH"
        LANG=C.UTF-8
        ERL_EPMD_PORT="$(port EPMD_PORT)"
        ERL_EPMD_ADDRESS=127.0.0.1
        ERL_CRASH_DUMP_SECONDS=0
        RABBITMQ_NODENAME="oncehook-${ROOT##*/}-$INSTANCE@localhost"
        RABBITMQ_DIST_PORT="$(port RABBITMQ_DIST_PORT)"
        RABBITMQ_CONF_ENV_FILE=/dev/null
        RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf"
        RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins"
        RABBITMQ_MNESIA_BASE="$home/mnesia"
        RABBITMQ_LOG_BASE="$home/log"
        RABBITMQ_LOGS=-
        # The start script then becomes the Erlang machine, instead of keeping it as a child: the pid
        # is the broker's own, and SIGTERM reaches it.
        RUNNING_UNDER_SYSTEMD=true
        # Two schedulers, no busy waiting: it shares the machine with a compiler.
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
    )
    start rabbitmq -- "${as_rabbitmq[@]}" env -i -C "$home" "${environment[@]}" "$RABBITMQ_BIN/rabbitmq-server"
}

# The credentials go in by standard input: arguments are for everybody to read.
rabbitmq_get() {
    curl --silent --fail --max-time 3 --config - "http://127.0.0.1:$(port RABBITMQ_API_PORT)/api/$1" \
        <<<"user = \"$(rabbitmq_user)\""
}

rabbitmq_ready() { rabbitmq_get "health/checks/port-listener/$(port AMQP_PORT)"; }

# rabbitmq_alarm memory|disk|off: limits that any broker exceeds at once, or those of its configuration.
rabbitmq_alarm() {
    local memory=1GB disk=50MB
    case $1 in
        memory) memory=1MB ;;
        disk) disk=1000000GB ;;
    esac
    rabbitmq_control set_vm_memory_high_watermark absolute "$memory"
    rabbitmq_control set_disk_free_limit "$disk"
}

# rabbitmq_patience SECONDS|off: for channels that are opened from now on. Looked at as often as it is long.
rabbitmq_patience() {
    local timeout=1800000 tick=60000
    if [[ $1 != off ]]; then timeout=$(($1 * 1000)) tick=$timeout; fi
    rabbitmq_control eval "application:set_env(rabbit, consumer_timeout, $timeout),
        application:set_env(rabbit, channel_tick_interval, $tick)." >/dev/null
}

# rabbitmq_message_size BYTES|off: for channels that are opened from now on.
rabbitmq_message_size() {
    local bytes=134217728
    if [[ $1 != off ]]; then bytes=$1; fi
    rabbitmq_control eval "application:set_env(rabbit, max_message_size, $bytes)." >/dev/null
}

rabbitmq_control() {
    "${as_rabbitmq[@]}" env -i -C "$DATA/rabbitmq" HOME="$DATA/rabbitmq" PATH="$PATH" LANG=C.UTF-8 \
        ERL_EPMD_PORT="$(port EPMD_PORT)" RABBITMQ_CONF_ENV_FILE=/dev/null \
        "$RABBITMQ_BIN/rabbitmqctl" --quiet --node "oncehook-${ROOT##*/}-$INSTANCE@localhost" "$@"
}
