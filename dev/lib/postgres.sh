# shellcheck shell=bash
# The private Postgres of an instance. Sourced after processes.sh.
#
# Durable on purpose (fsync stays on, in `test` too): the tests kill things and then count.
# Listens on loopback only; the role `oncehook` is its superuser and owns the database `oncehook`.

PG_BIN=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1 || true)

postgres_url() { echo "postgres://oncehook:$(secret POSTGRES_PASSWORD)@127.0.0.1:$(port POSTGRES_PORT)/oncehook"; }

as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups -- env -C / LC_ALL=C.UTF-8 "$@"; }

# Under another name until complete, so that an interrupted initdb leaves nothing half made.
postgres_create() {
    local new=$DATA/postgres.new
    say "creating a Postgres database cluster"
    rm -rf "$new"
    install -d -m 700 -o postgres -g postgres "$new"
    install -m 600 -o postgres -g postgres <(secret POSTGRES_PASSWORD) "$DATA/postgres.password"
    as_postgres "$PG_BIN/initdb" --pgdata="$new" --username=oncehook --pwfile="$DATA/postgres.password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >"$HERE/log/initdb.log" 2>&1 ||
        { cat "$HERE/log/initdb.log" >&2; die "initdb failed"; }
    rm "$DATA/postgres.password"
    mv "$new" "$DATA/postgres"
}

postgres_start() {
    if alive postgres.supervisor; then start postgres; return; fi
    stop postgres # if its supervisor was killed
    keep_port POSTGRES_PORT
    [[ -d $DATA/postgres ]] || postgres_create
    postgres_forget_reused_pid
    local options=(
        -D "$DATA/postgres"
        -p "$(port POSTGRES_PORT)"
        -c listen_addresses=127.0.0.1
        -c unix_socket_directories="$DATA/postgres"
        -c max_connections=300
        -c shared_buffers=256MB
        -c max_wal_size=2GB
        -c log_line_prefix='%m [%p] %q%u@%d '
    )
    # SIGINT is Postgres' fast shutdown: it ends sessions instead of waiting for them.
    start postgres --stop-signal INT -- \
        setpriv --reuid=postgres --regid=postgres --init-groups -- \
        env -C / LC_ALL=C.UTF-8 "$PG_BIN/postgres" "${options[@]}"
}

# Postgres refuses to start while the pid in its lock file belongs to any process of the same user,
# as it may after a reboot. A postmaster works in its data directory; anything else is not ours.
postgres_forget_reused_pid() {
    local pid
    { read -r pid <"$DATA/postgres/postmaster.pid"; } 2>/dev/null || return 0
    [[ $(readlink "/proc/$pid/cwd") == "$DATA/postgres" ]] || rm "$DATA/postgres/postmaster.pid"
}

postgres_query() {
    PGPASSWORD=$(secret POSTGRES_PASSWORD) PGCONNECT_TIMEOUT=2 "$PG_BIN/psql" --no-psqlrc --quiet --tuples-only \
        --no-align -h 127.0.0.1 -p "$(port POSTGRES_PORT)" -U oncehook "$@"
}

postgres_ready() {
    "$PG_BIN/pg_isready" --quiet -h 127.0.0.1 -p "$(port POSTGRES_PORT)" || return 1
    # pg_isready says so before recovery lets anybody write, and a new cluster lacks the database.
    local database
    database=$(postgres_query -d postgres -c "SELECT datname FROM pg_database WHERE datname = 'oncehook'") || return 1
    [[ $database == oncehook ]] || postgres_query -d postgres -c 'CREATE DATABASE oncehook'
}
