# shellcheck shell=bash
# Where things are kept, and the few words every other file uses.

PATH=$PATH:/usr/sbin:/sbin

digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }

PARTS_ID=$(printf '%s' "$PARTS_ROOT" | digest | cut -c 1-8)
PARTS_LOGS=$PARTS_ROOT/.cache/logs
PARTS_STATE=$PARTS_ROOT/.cache/parts # big and kept: images, packages, root file systems

# Small and gone after a reboot: sockets (whose paths must be short), process ids, ports.
parts_run_dir() {
    if [ "$(id -u)" -eq 0 ] && [ -d /run ]; then
        printf '/run/flyte-build-%s' "$PARTS_ID"
    elif [ -n "${XDG_RUNTIME_DIR:-}" ] && [ -w "$XDG_RUNTIME_DIR" ]; then
        printf '%s/flyte-build-%s' "$XDG_RUNTIME_DIR" "$PARTS_ID"
    else
        printf '/tmp/flyte-build-%s-%s' "$(id -u)" "$PARTS_ID"
    fi
}
PARTS_RUN=$(parts_run_dir)

# The directory is ours alone, also in a /tmp that everybody writes to.
make_places() {
    mkdir -p "$PARTS_STATE" "$PARTS_LOGS" || return
    [ -d "$PARTS_RUN" ] || mkdir -m 700 "$PARTS_RUN" || return
    if [ ! -O "$PARTS_RUN" ] || [ -L "$PARTS_RUN" ]; then refuse "$PARTS_RUN belongs to somebody else: remove it."; fi
}

is_root() { [ "$(id -u)" -eq 0 ]; }
can_be_root() { is_root || sudo -n true 2>/dev/null || { [ -t 0 ] && has sudo && sudo -v; }; }
as_root() { if is_root; then "$@"; else sudo -n "$@"; fi; }
has() { command -v "$1" >/dev/null 2>&1; }

# Becomes COMMAND as root, away from our terminal; for the background.
become_daemon() { if is_root; then exec setsid "$@"; else exec sudo -n setsid "$@"; fi; }

# Runs COMMAND for at most SECONDS, where the machine can.
within() { # SECONDS COMMAND…
    if has timeout; then timeout "$@"; else
        shift
        "$@"
    fi
}

wait_for() { # SECONDS COMMAND…
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

# Is PID alive, and is MARK in its command line? So no stranger with a reused id is ever touched.
is_ours() { # PID MARK
    [ -n "$1" ] && ps -ww -o command= -p "$1" 2>/dev/null | grep -qF -- "$2"
}

# Ends every server of ours whose command line holds MARK, first politely.
end_marked() { # MARK SECONDS
    local pids
    pids=$(marked "$1")
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086  # one argument per process
    as_root kill $pids 2>/dev/null || true
    wait_for "$2" none_marked "$1" && return 0
    # shellcheck disable=SC2046
    as_root kill -KILL $(marked "$1") 2>/dev/null || true
    wait_for 5 none_marked "$1"
}
marked() { # MARK
    ps -ww -e -o pid= -o comm= -o args= 2>/dev/null |
        awk -v mark="$1" '$2 ~ /^(dockerd|containerd|docker-registr|runc)/ && index($0, mark) {print $1}'
}
none_marked() { [ -z "$(marked "$1")" ]; }

# One at a time: COMMAND runs while we hold the lock NAME. Without flock nobody waits.
locked() { # FILE COMMAND…
    local file=$1
    shift
    (
        ! has flock || flock -w 1800 9 || refuse "$file is held by another process for half an hour: end that process." || exit 1
        "$@"
    ) 9>"$file"
}
