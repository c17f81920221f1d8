# shellcheck shell=bash
# Where an instance of the stack keeps its things. Sourced; call `use_instance NAME` first.
#
# An instance is a private Postgres, RabbitMQ and mail sink: `dev` (make up), `test` (make test), `faults`
# (make faults) or `bench` (make bench).
# Its data lies under /var/lib, because the clone may be where the service users cannot go (/root);
# what people and scripts read lies in the clone:
#
#   .dev/env, .dev/run/NAME.pid, .dev/log/NAME.log, .dev/data -> /var/lib/oncehook-dev/…
#   .dev/test/…, .dev/faults/…, .dev/bench/…             the same for the other instances
#
# Removing .dev (git clean) loses nothing: processes, ports and secrets are remembered beside the data.

REPO=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
ROOT=/var/lib/oncehook-dev/$(printf %s "$REPO" | sha256sum | cut -c1-8)

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

use_instance() {
    INSTANCE=$1
    case $INSTANCE in
        dev) HERE=$REPO/.dev ;;
        test | faults | bench) HERE=$REPO/.dev/$INSTANCE ;;
        *) die "no instance '$INSTANCE' (there are: dev, test, faults, bench)" ;;
    esac
    ((EUID == 0)) || die "run as root: Postgres and RabbitMQ run as their own users"
    DATA=$ROOT/$INSTANCE
    STATE=$DATA/state
    mkdir -p "$HERE/run" "$HERE/log" "$DATA"
    install -d -m 700 "$STATE"
    printf '%s\n' "$REPO" >"$ROOT/clone"
    ln -sfn "$DATA" "$HERE/data"
    export ONCEHOOK_INSTANCE=$INSTANCE # for dev/supervise
}

# One command at a time changes an instance. The file descriptor must not reach what is started
# meanwhile, or the lock would outlive us: see `start` in processes.sh.
lock_instance() {
    exec 9>"$STATE/lock"
    flock -n 9 || { say "waiting for another command on the instance '$INSTANCE'"; flock 9; }
}

# remember KEY COMMAND… prints the value kept under KEY: what COMMAND printed when first asked.
remember() {
    local file=$STATE/$1
    shift
    if [[ ! -s $file ]]; then
        "$@" >"$file.new"
        mv "$file.new" "$file"
    fi
    cat "$file"
}

secret() { remember "$1" random_hex 16; }
random_hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# port KEY prints the port kept under KEY; the first time, a free one.
port() { remember "$1" free_port; }

# keep_port KEY, before its owner starts: a port that somebody else took meanwhile is given up.
keep_port() {
    if port_taken "$(port "$1")"; then
        rm "$STATE/$1"
        say "port for $1 is taken, now $(port "$1")"
    fi
}

port_taken() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below 32768, where the kernel starts to take the ports of outgoing connections.
free_port() {
    local candidate
    while :; do
        candidate=$((20000 + (RANDOM << 15 | RANDOM) % 12000))
        port_taken "$candidate" || grep -qxs "$candidate" "$STATE"/*_PORT || break
    done
    echo "$candidate"
}

# await WHAT SECONDS LOG CHECK… polls CHECK until it succeeds; on failure shows the end of LOG.
await() {
    local what=$1 seconds=$2 log=$3 begin=$SECONDS told=$SECONDS
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS - begin >= seconds)); then
            printf '%s\n' "--- the end of $log:" >&2
            tail -n 30 "$log" >&2 || true
            die "$what was not ready within $seconds s"
        fi
        if ((SECONDS - told >= 5)); then
            told=$SECONDS
            say "  still waiting for $what ($((SECONDS - begin)) s)"
        fi
        sleep 0.1
    done
}
