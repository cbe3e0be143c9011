# shellcheck shell=bash
# A Docker engine: the one that is here, or one of our own beside everything else on the machine.
#
# Ours has its own socket, data, containerd, bridge and subnet, so several may run at once. It never
# rewrites the machine's firewall (two engines would flush each other's chains): we add three rules for
# our bridge and take them away at the end.

ENGINE_SOCKET=$PARTS_RUN/docker.sock
ENGINE_HOST=unix://$ENGINE_SOCKET
ENGINE_DATA=$PARTS_STATE/engine
ENGINE_BRIDGE=fb-$PARTS_ID
ENGINE_CGROUP=flyte-build-$PARTS_ID
ENGINE_NOTE=$PARTS_RUN/engine.env

engine_answers() { within 5 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
engine_version() { docker version --format '{{.Server.Version}}'; }

# Somebody else's engine that works. Ours, or another clone's, is never taken for that.
engine_present() {
    case ${DOCKER_HOST:-} in
    unix://*/flyte-build-*/docker.sock) return 1 ;;
    *) has docker && engine_answers ;;
    esac
}

engine_ours_answers() { DOCKER_HOST=$ENGINE_HOST engine_answers; }

engine_start() {
    if [ -f "$ENGINE_NOTE" ] && engine_use && engine_answers; then return 0; fi
    if engine_present; then
        printf 'PARTS_ENGINE=present\n' >"$ENGINE_NOTE"
        return 0
    fi
    export DOCKER_HOST=$ENGINE_HOST
    can_be_root || refuse "A Docker engine must run as root: start one (24 or newer) that this user may use, or run this as root or with sudo." || return
    engine_ours_answers || step "Start a Docker engine" "see its log .cache/logs/dockerd.log." engine_launch || return
    printf 'PARTS_ENGINE=private\nDOCKER_HOST=%s\n' "$ENGINE_HOST" >"$ENGINE_NOTE"
}

# Points this process to the engine that was chosen.
engine_use() {
    engine_is_private || return 0
    export DOCKER_HOST=$ENGINE_HOST
}
engine_is_private() { grep -qs '^PARTS_ENGINE=private' "$ENGINE_NOTE"; }

engine_launch() {
    engine_sweep || return
    engine_bridge_up || return
    mkdir -p "$ENGINE_DATA" || return
    printf '{"features":{"containerd-snapshotter":true}}\n' >"$PARTS_RUN/daemon.json"
    : >"$PARTS_LOGS/dockerd.log"
    become_daemon dockerd --config-file "$PARTS_RUN/daemon.json" --data-root "$ENGINE_DATA" \
        --exec-root "$PARTS_RUN/exec" --pidfile "$PARTS_RUN/dockerd.pid" --host "$ENGINE_HOST" --group "$(id -g)" \
        --bridge "$ENGINE_BRIDGE" --iptables=false --ip6tables=false --ip-masq=false \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$ENGINE_CGROUP" \
        >>"$PARTS_LOGS/dockerd.log" 2>&1 </dev/null 9>&- &
    wait_for 60 engine_ours_answers || { tail -n 12 "$PARTS_LOGS/dockerd.log"; return 1; }
}

engine_bridge_up() {
    local subnet
    engine_bridge_down
    subnet=$(engine_free_subnet) || return
    as_root ip link add "$ENGINE_BRIDGE" type bridge &&
        as_root ip addr add "${subnet%.0/24}.1/24" dev "$ENGINE_BRIDGE" &&
        as_root ip link set "$ENGINE_BRIDGE" up || return
    printf '%s\n' "$subnet" >"$PARTS_RUN/subnet"
    engine_rules -I
}

# A private /24 that no route of this machine touches, begun at a place of this clone's own.
engine_free_subnet() {
    local i start candidate
    start=$((16#${PARTS_ID:0:4}))
    for i in {0..255}; do
        candidate=172.30.$(((start + i) % 256)).0/24
        ip -4 route show match "$candidate" | grep -qv '^default' && continue
        ip -4 route show root "$candidate" | grep -qv '^default' && continue
        printf '%s' "$candidate"
        return 0
    done
    echo "every subnet of 172.30.0.0/16 is in use"
    return 1
}

engine_rules() { # -I | -D
    local subnet
    subnet=$(cat "$PARTS_RUN/subnet" 2>/dev/null) || return 0
    as_root iptables -w -t nat "$1" POSTROUTING -s "$subnet" ! -o "$ENGINE_BRIDGE" -j MASQUERADE &&
        as_root iptables -w "$1" FORWARD -i "$ENGINE_BRIDGE" -j ACCEPT &&
        as_root iptables -w "$1" FORWARD -o "$ENGINE_BRIDGE" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
}

engine_bridge_down() {
    engine_rules -D 2>/dev/null || true
    if ip link show "$ENGINE_BRIDGE" >/dev/null 2>&1; then as_root ip link del "$ENGINE_BRIDGE"; fi
    rm -f "$PARTS_RUN/subnet"
}

# Ends what belongs to an engine of ours, also one that was killed: every such process names our directory.
engine_sweep() {
    local pid
    pid=$(cat "$PARTS_RUN/dockerd.pid" 2>/dev/null || true)
    if is_ours "$pid" "--exec-root $PARTS_RUN/exec"; then
        as_root kill "$pid"
        wait_for 30 none_marked "--exec-root $PARTS_RUN/exec"
    fi
    end_marked "$PARTS_RUN/exec" 10
    end_marked "$ENGINE_DATA" 5
    engine_end_containers
    engine_unmount
    as_root rm -rf "$PARTS_RUN/exec" "$PARTS_RUN/dockerd.pid" "$ENGINE_SOCKET"
}

# Containers and build steps outlive an engine that was killed; all of them are in our control group.
engine_end_containers() {
    local groups
    groups=$(find /sys/fs/cgroup -depth -type d -path "*/$ENGINE_CGROUP*" 2>/dev/null)
    [ -n "$groups" ] || return 0
    wait_for 5 engine_kill_groups "$groups"
    printf '%s\n' "$groups" | while read -r group; do as_root rmdir "$group" 2>/dev/null || true; done
}
engine_kill_groups() { # DIRECTORIES
    local pids
    pids=$(printf '%s\n' "$1" | while read -r group; do cat "$group/cgroup.procs" 2>/dev/null; done | sort -u)
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086  # one argument per process
    as_root kill -KILL $pids 2>/dev/null
    return 1
}

engine_unmount() {
    local mount
    awk -v run="$PARTS_RUN/" -v data="$ENGINE_DATA/" \
        'index($5 "/", run) == 1 || index($5 "/", data) == 1 {print $5}' /proc/self/mountinfo | sort -r |
        while read -r mount; do as_root umount -l "$mount" || true; done
}

engine_stop() {
    if [ "$(uname)" = Linux ]; then
        engine_sweep
        engine_bridge_down
    fi
    rm -f "$ENGINE_NOTE"
}
