# shellcheck shell=bash
# An OCI registry on loopback: Debian's docker-registry, or the registry image where an engine was here before us.

REGISTRY_NOTE=$PARTS_RUN/registry.env
REGISTRY_CONFIG=$PARTS_RUN/registry.yml
REGISTRY_CONTAINER=flyte-build-registry-$PARTS_ID

registry_address() { sed -n 's/^REGISTRY_ADDRESS=//p' "$REGISTRY_NOTE" 2>/dev/null; }

# Ours says so in a header: another registry that won the race for the port does not count.
registry_answers() {
    [ -n "$(registry_address)" ] &&
        curl -fsS --noproxy '*' -m 2 -o /dev/null -D - "http://$(registry_address)/v2/" | grep -qi "^x-flyte-build: $PARTS_ID"
}

registry_start() {
    if registry_answers 2>/dev/null; then return 0; fi
    if has docker-registry; then
        step "Start an OCI registry" "see its log .cache/logs/registry.log." registry_launch
    else
        step "Start an OCI registry in a container" "make the image registry:2 available to this engine, or install docker-registry." registry_container
    fi
}

# The port stays the same from one start to the next, so references stay true; a race for it is tried again.
registry_launch() {
    local port try
    end_marked "$REGISTRY_CONFIG" 5 || return
    port=$(cat "$PARTS_STATE/registry.port" 2>/dev/null || true)
    for try in 1 2 3 4 5; do
        [ -n "$port" ] && port_is_free "$port" || port=$(free_port)
        registry_serve "$port"
        wait_for 10 registry_settled
        registry_answers && printf '%s\n' "$port" >"$PARTS_STATE/registry.port" && return 0
        echo "no registry on port $port (try $try)"
        end_marked "$REGISTRY_CONFIG" 5
        port=
    done
    tail -n 8 "$PARTS_LOGS/registry.log"
    return 1
}

registry_settled() { registry_answers || ! kill -0 "$(cat "$PARTS_RUN/registry.pid")"; }

registry_serve() { # PORT
    mkdir -p "$PARTS_STATE/registry" || return
    cat >"$REGISTRY_CONFIG" <<CONFIG
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: "$PARTS_STATE/registry"}
  delete: {enabled: true}
http: {addr: "127.0.0.1:$1", secret: "$PARTS_ID", headers: {X-Flyte-Build: ["$PARTS_ID"]}}
CONFIG
    setsid docker-registry serve "$REGISTRY_CONFIG" >"$PARTS_LOGS/registry.log" 2>&1 </dev/null 9>&- &
    printf '%s\n' $! >"$PARTS_RUN/registry.pid"
    printf 'REGISTRY_ADDRESS=127.0.0.1:%s\n' "$1" >"$REGISTRY_NOTE"
}

port_is_free() { # PORT
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000)) # below the range that systems hand out for outgoing connections
        port_is_free "$port" && printf '%s' "$port" && return 0
    done
}

registry_container() {
    docker rm -f "$REGISTRY_CONTAINER" >/dev/null 2>&1
    docker run -d --name "$REGISTRY_CONTAINER" -p 127.0.0.1::5000 -e REGISTRY_STORAGE_DELETE_ENABLED=true \
        -e REGISTRY_HTTP_HEADERS_X-Flyte-Build="[$PARTS_ID]" registry:2 || return
    printf 'REGISTRY_ADDRESS=%s\n' "$(docker port "$REGISTRY_CONTAINER" 5000/tcp | head -n 1)" >"$REGISTRY_NOTE"
    wait_for 15 registry_answers
}

registry_stop() {
    end_marked "$REGISTRY_CONFIG" 10
    if has docker && ! engine_is_private && docker inspect "$REGISTRY_CONTAINER" >/dev/null 2>&1; then
        docker rm -f -v "$REGISTRY_CONTAINER" >/dev/null
    fi
    rm -f "$REGISTRY_NOTE" "$REGISTRY_CONFIG" "$PARTS_RUN/registry.pid"
}
