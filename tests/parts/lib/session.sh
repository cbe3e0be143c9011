# shellcheck shell=bash disable=SC2016  # "$PATH" is for the shell that evaluates it
# Starting everything, handing it to who asks, and stopping it when nobody needs it any more.

SESSION_USERS=$PARTS_RUN/users # one file per `run`, named by its process id
SESSION_KEEP=$PARTS_RUN/keep   # there after `start`: a person wants the parts until `stop`
SESSION_LOCK=$PARTS_STATE/lock # not where it could be removed under one who waits for it

session_start() {
    local started=$SECONDS
    make_places || return
    engine_use
    install_parts && engine_start && registry_start && base_ensure && multi_ensure || return
    say "✓ Parts are up ($((SECONDS - started)) s): engine $(engine_version) ($(sed -n 's/^PARTS_ENGINE=//p' "$ENGINE_NOTE")), registry $(registry_address), base $(base_value BASE_NAME) ($(base_value BASE_ORIGIN))"
}

session_keep() {
    make_places && locked "$SESSION_LOCK" session_start_to_keep
}

session_start_to_keep() {
    if session_start; then touch "$SESSION_KEEP"; else
        session_stop_unneeded
        return 1
    fi
}

session_start_to_use() {
    make_places && mkdir -p "$SESSION_USERS" && : >"$SESSION_USERS/$$" && session_start
}

session_run() { # COMMAND…
    local status=0 child
    [ $# -gt 0 ] || { refuse "parts run needs a command."; return 2; }
    make_places || return
    trap 'session_leave' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    locked "$SESSION_LOCK" session_start_to_use || return
    eval "$(session_env)"
    # In the background, because a shell that waits for a foreground command hears no signal. A terminal's
    # interrupt reaches the command by itself (a background command would ignore it: hence perl).
    perl -e '$SIG{$_} = "DEFAULT" for qw(INT QUIT); exec {$ARGV[0]} @ARGV or die "$ARGV[0]: $!\n"' "$@" <&0 &
    child=$!
    trap : INT
    trap 'kill -TERM $child 2>/dev/null' TERM HUP
    while :; do
        status=0
        wait "$child" || status=$?
        kill -0 "$child" 2>/dev/null || return "$status"
    done
}

session_leave() {
    trap '' INT TERM HUP
    rm -f "$SESSION_USERS/$$"
    [ -d "$PARTS_RUN" ] || return 0
    locked "$SESSION_LOCK" session_stop_unneeded
}

session_stop_unneeded() {
    [ ! -e "$SESSION_KEEP" ] && ! session_has_users || return 0
    session_stop_parts
}

session_has_users() {
    local user
    for user in "$SESSION_USERS"/*; do
        [ -e "$user" ] || continue
        is_ours "$(basename "$user")" "parts run" && return 0
        rm -f "$user"
    done
    return 1
}

session_env() {
    if [ ! -f "$ENGINE_NOTE" ] || [ ! -f "$REGISTRY_NOTE" ]; then
        refuse "The parts are not started: run tests/parts/parts start."
        return 1
    fi
    if engine_is_private; then printf 'export DOCKER_HOST=%q\n' "$ENGINE_HOST"; fi
    printf 'export FLYTE_BUILD_TEST_REGISTRY=%q\n' "$(registry_address)"
    printf 'export FLYTE_BUILD_TEST_BASE=%q\n' "$(registry_address)/$(base_value BASE_NAME)"
    printf 'export FLYTE_BUILD_TEST_BASE_DIGEST=%q\n' "$(base_value BASE_DIGEST)"
    printf 'export FLYTE_BUILD_TEST_BASE_PYTHON=%q\n' "$(base_value BASE_PYTHON)"
    printf 'export FLYTE_BUILD_TEST_BASE_ORIGIN=%q\n' "$(base_value BASE_ORIGIN)"
    multi_env
    printf 'export PATH=%q:"$PATH":/usr/sbin:/sbin\n' "$PARTS_VENV/bin"
}

session_status() {
    engine_use
    if [ -f "$ENGINE_NOTE" ] && engine_answers; then
        say "engine    $(engine_version) ($(sed -n 's/^PARTS_ENGINE=//p' "$ENGINE_NOTE")) at ${DOCKER_HOST:-its default place}"
    else say "engine    not started from here"; fi
    if registry_answers 2>/dev/null; then say "registry  $(registry_address)"; else say "registry  not started from here"; fi
    if [ -f "$BASE_NOTE" ]; then say "base      $(base_value BASE_NAME)@$(base_value BASE_DIGEST) ($(base_value BASE_ORIGIN))"; else say "base      none"; fi
    if [ -e "$SESSION_KEEP" ]; then say "kept      until tests/parts/parts stop"; fi
}

session_stop() {
    [ -d "$PARTS_RUN" ] || return 0
    locked "$SESSION_LOCK" session_stop_parts
}

session_stop_parts() {
    engine_use
    mkdir -p "$PARTS_LOGS"
    step "Stop the parts" "see ps for what is left." session_stop_all || return
    rm -rf "$PARTS_RUN"
}

session_stop_all() {
    registry_stop
    engine_stop
}

session_clean() {
    session_stop
    if [ -d "$PARTS_STATE" ]; then as_root rm -rf "$PARTS_STATE"; fi
    rm -rf "$PARTS_LOGS"
}
