# shellcheck shell=bash
# What a person sees: one line per step with its seconds; the noise goes to a log.

say() { printf '%s\n' "$*" >&2; }

# One sentence and a failure.
refuse() {
    say "✗ $*"
    return 1
}

# How often a long step says that it is still there.
PARTS_HEARTBEAT=${PARTS_HEARTBEAT:-10}

heartbeat() { # WHAT LOG
    local started=$SECONDS nap='' last
    trap '[ -z "$nap" ] || kill "$nap" 2>/dev/null; exit 0' TERM
    while kill -0 $$ 2>/dev/null; do # no longer than the script itself
        sleep "$PARTS_HEARTBEAT" >/dev/null 2>&1 &
        nap=$!
        wait "$nap" || return 0
        last=$(tail -n 1 "$2" 2>/dev/null | tr -d '\r' | cut -c 1-90)
        say "  … $1: $((SECONDS - started)) s${last:+; $last}"
    done
}

# Runs COMMAND as one step: quiet when it works, the end of its log and what to do when it fails.
step() { # WHAT ADVICE COMMAND…
    local what=$1 advice=$2 log started=$SECONDS status=0 beat
    shift 2
    mkdir -p "$PARTS_LOGS"
    log=$PARTS_LOGS/$(printf '%s' "$what" | tr -cs 'A-Za-z0-9' '-' | sed 's/^-//; s/-$//').log
    : >"$log"
    heartbeat "$what" "$log" &
    beat=$!
    trap 'kill "$beat" 2>/dev/null' EXIT
    "$@" >>"$log" 2>&1 </dev/null || status=$?
    kill "$beat" 2>/dev/null || true
    wait "$beat" 2>/dev/null || true
    trap - EXIT
    if [ "$status" -eq 0 ]; then
        say "✓ $what ($((SECONDS - started)) s)"
        return 0
    fi
    say "--- the last lines of ${log#"$PARTS_ROOT"/}"
    tail -n 15 "$log" >&2
    say "---"
    refuse "$what failed after $((SECONDS - started)) s: $advice"
}
