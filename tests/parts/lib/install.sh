# shellcheck shell=bash
# Which parts are missing, and getting them.

# command : Debian package : suite that is new enough ("-" is the machine's own)
PARTS_TABLE='
dockerd:docker.io:trixie
containerd:containerd:trixie
docker:docker-cli:trixie
docker-buildx:docker-buildx:trixie
runc:runc:-
iptables:iptables:-
ip:iproute2:-
tini:tini:-
ps:procps:-
curl:curl:-
docker-registry:docker-registry:-
redis-server:redis-server:-
rabbitmq-server:rabbitmq-server:-
pg_ctlcluster:postgresql:-
mmdebstrap:mmdebstrap:-
skopeo:skopeo:-
jq:jq:-
openssl:openssl:-
crane:crane:forky
oras:oras:trixie
cosign:cosign:trixie
kustomize:kustomize:trixie
kubectl:kubernetes-client:trixie
'

# For tests of images for several platforms. mmdebstrap asks arch-test whether a foreign program runs.
PARTS_TABLE_MULTI='
qemu-aarch64-static:qemu-user-static:-
arch-test:arch-test:-
'

wanted_parts() {
    printf '%s' "$PARTS_TABLE"
    ! multi_wanted || printf '%s' "$PARTS_TABLE_MULTI"
}

missing_packages() {
    local command package suite
    wanted_parts | while IFS=: read -r command package suite; do
        [ -n "$command" ] || continue
        part_is_here "$command" && continue
        if [ "$suite" = - ] || [ "$suite" = "$(debian_codename)" ]; then printf '%s\n' "$package"; else printf '%s/%s\n' "$package" "$suite"; fi
    done
}

part_is_here() { # COMMAND
    case $1 in
    docker-buildx) docker buildx version >/dev/null 2>&1 ;;
    dockerd | containerd) has "$1" && is_new_enough "$1" ;;
    *) has "$1" ;;
    esac
}

# BuildKit with the containerd image store came with Docker 24; Debian 12's own 20.10 is too old.
is_new_enough() { # COMMAND
    local major
    [ "$1" = dockerd ] || return 0
    major=$(dockerd --version | sed -n 's/^Docker version \([0-9]*\).*/\1/p')
    [ "${major:-0}" -ge 24 ]
}

install_parts() {
    local packages
    make_places || return
    if engine_present; then
        install_nothing
        return
    fi
    packages=$(missing_packages)
    [ -n "$packages" ] || return 0
    install_is_possible "$packages" || return
    locked "$(install_lock)" install_missing
}

# An engine is here: the machine is not ours to change, so tests that need more than it has are skipped.
install_nothing() {
    local missing
    engine_is_new_enough || return
    missing=$(printf '%s' "$PARTS_TABLE" | cut -d : -f 1 | grep -E '^(crane|openssl|oras|cosign|skopeo|jq|redis-server|rabbitmq-server|pg_ctlcluster|kustomize|kubectl)$' |
        while read -r command; do has "$command" || printf ' %s' "$command"; done)
    say "✓ Docker engine $(engine_version) is already here: nothing is installed${missing:+ (not here:$missing)}"
}

engine_is_new_enough() {
    local major
    major=$(engine_version | sed 's/[^0-9].*//')
    if [ "${major:-0}" -lt 23 ] || ! docker buildx version >/dev/null 2>&1; then
        refuse "The Docker engine here is $(engine_version): upgrade it to 23 or newer with the buildx plugin, or stop it so that one of our own is used."
    fi
}

install_lock() { if is_root; then printf /run/flyte-build-apt.lock; else printf '%s/apt.lock' "$PARTS_RUN"; fi; }

install_missing() {
    local packages
    packages=$(missing_packages | tr '\n' ' ') # again: another clone may have installed them while we waited
    [ -n "$packages" ] || return 0
    step "List Debian's packages" "see whether this machine's apt sources answer." prepare_and_update || return
    # shellcheck disable=SC2086
    step "Install $(printf '%s' "$packages" | sed 's# *$##; s#/[a-z]*##g')" \
        "see what apt says above, install those packages by hand, and start again." apt_install $packages
}

prepare_and_update() { apt_prepare && apt_update; }

install_is_possible() { # PACKAGES
    local names
    names=$(printf '%s' "$1" | tr '\n' ' ')
    case $(debian_codename) in
    bookworm | trixie) ;;
    *)
        refuse "No Docker engine answers and this is not Debian 12 or 13: start Docker (24 or newer), then run this again."
        return 1
        ;;
    esac
    can_be_root || refuse "These parts are missing and only root can install them: run 'sudo tests/parts/parts install', or install by hand (NAME/SUITE is a package of that Debian suite): $names"
}
