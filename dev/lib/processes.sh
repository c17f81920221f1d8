# shellcheck shell=bash
# Starting, stopping and recognising supervised processes. Sourced after instance.sh.
#
# Invariant: a signal is only ever sent to a process we know to be ours. A pid alone proves nothing
# (the machine may have rebooted, the number may have been given away), so every process leaves a
# record of pid, start time and boot: $STATE/NAME.process, and NAME.supervisor.process.
# .dev/run/NAME.pid, the bare pid, is for people and scripts; nothing here believes it.

# identity PID prints "PID START BOOT"; fails when there is no such living process.
identity() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # After the command's name, which may hold spaces: state is field 1, start time field 20.
    read -ra stat <<<"${stat##*) }"
    [[ ${stat[0]} != Z ]] || return 1
    echo "$1 ${stat[19]} $(</proc/sys/kernel/random/boot_id)"
}

# record NAME PID, by the process itself just before it becomes its program.
record() {
    local name=$1 pid=$2
    identity "$pid" >"$STATE/$name.process.new"
    mv "$STATE/$name.process.new" "$STATE/$name.process"
    echo "$pid" >"$HERE/run/$name.pid"
}

# process NAME prints the pid of NAME if it lives and is ours.
process() {
    local record pid
    { read -r record <"$STATE/$1.process"; } 2>/dev/null || return 1
    pid=${record%% *}
    [[ $(identity "$pid") == "$record" ]] || return 1
    echo "$pid"
}

alive() { process "$1" >/dev/null; }

# signal NAME SIGNAL; a process that is gone needs none.
signal() {
    local pid
    if pid=$(process "$1"); then kill -s "$2" "$pid" 2>/dev/null || true; fi
}

# gone NAME SECONDS waits for the end of NAME; fails when it outlives them.
gone() {
    local end=$((SECONDS + $2))
    while alive "$1"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

# start NAME [--stop-signal SIGNAL] -- COMMAND… supervises COMMAND, unless it is supervised already.
start() {
    local name=$1
    if alive "$name.supervisor"; then
        # The pid files may have been removed; the processes were not.
        process "$name" >"$HERE/run/$name.pid" || true
        process "$name.supervisor" >"$HERE/run/$name.supervisor.pid" || true
        return
    fi
    stop "$name" # left behind by a supervisor that was killed
    setsid --fork "$REPO/dev/supervise" "$@" 9>&- </dev/null >/dev/null 2>>"$HERE/log/$name.log"
    await "$name" 10 "$HERE/log/$name.log" alive "$name.supervisor"
}

# stop NAME ends NAME and its supervisor, whichever of them still lives.
stop() {
    local name=$1
    signal "$name.supervisor" TERM
    gone "$name.supervisor" 45 || signal "$name.supervisor" KILL
    # Now alone, if its supervisor was killed.
    if alive "$name"; then
        signal "$name" "$(cat "$STATE/$name.stop-signal" 2>/dev/null || echo TERM)"
        gone "$name" 20 || signal "$name" KILL
        gone "$name" 5 || die "$name does not end"
    fi
    rm -f "$STATE/$name".{process,supervisor.process,stop-signal,fingerprint} \
        "$HERE/run/$name".{pid,supervisor.pid}
}

# supervised prints the names of all that have, or had, a supervisor.
supervised() {
    local file
    for file in "$STATE"/*.process; do
        [[ -e $file ]] || continue
        file=${file##*/}
        file=${file%.process}
        echo "${file%.supervisor}"
    done | sort -u
}
