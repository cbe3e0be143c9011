# shellcheck shell=bash disable=SC2016  # $(WORD) is apt's own, not ours
# Debian packages, also from newer suites, through a private apt view: its lists, sources and pins are ours,
# so the machine's own apt (what `apt-get update` fetches, what an upgrade moves) stays exactly as it was.

PARTS_APT=$PARTS_STATE/apt
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

debian_codename() { (. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && printf '%s' "${VERSION_CODENAME:-}"); }

# "URI SUITE" of every Debian source the machine's apt knows, as apt itself reads its configuration.
apt_sources() {
    local codename
    codename=$(debian_codename)
    apt-get indextargets --no-release-info \
        --format '$(REPO_URI) $(RELEASE) $(TARGET_OF) $(METAKEY)' |
        awk -v c="$codename" '$3 == "deb" && $4 ~ /^main\// && ($2 == c || $2 == c "-updates" || $2 == c "-security") {print $1, $2}' |
        sort -u
}

# The archive that serves this machine; a mirror list is resolved to its first mirror.
apt_mirror() {
    local uri
    uri=$(apt_sources | awk -v c="$(debian_codename)" '$2 == c {print (index($1, "debian") ? 0 : 1), $1}' | sort | awk 'NR == 1 {print $2}')
    case $uri in
    mirror+file:*) uri=$(awk '!/^#/ && NF {print $1; exit}' "${uri#mirror+file:}") ;;
    esac
    [ -n "$uri" ] && printf '%s' "${uri%/}"
}

# Signatures are always checked; the age of forky's list is not, because mirrors of it that lag are common.
apt_write_source() { # NAME URI SUITE
    local age=yes
    [ "$3" != forky ] || age=no
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\nCheck-Valid-Until: %s\n' \
        "$2" "$3" "$DEBIAN_KEYRING" "$age" >"$PARTS_APT/sources.list.d/flyte-build-$1.sources"
}

# Newer suites stand so low that only a package asked for by name comes from them.
apt_prepare() {
    local mirror uri suite n=0
    mirror=$(apt_mirror) || { refuse "apt on this machine has no source for Debian main: add one."; return 1; }
    rm -rf "$PARTS_APT/sources.list.d"
    mkdir -p "$PARTS_APT/sources.list.d" "$PARTS_APT/preferences.d" "$PARTS_APT/lists/partial" || return
    chmod 755 "$PARTS_APT" "$PARTS_APT/lists"
    while read -r uri suite; do
        n=$((n + 1))
        apt_write_source "machine-$n" "$uri" "$suite"
    done < <(apt_sources)
    for suite in trixie forky; do
        [ "$suite" = "$(debian_codename)" ] || apt_write_source "$suite" "$mirror" "$suite"
    done
    for suite in trixie:50 forky:40; do
        [ "${suite%:*}" = "$(debian_codename)" ] ||
            printf 'Package: *\nPin: release n=%s\nPin-Priority: %s\n\n' "${suite%:*}" "${suite#*:}"
    done >"$PARTS_APT/preferences.d/flyte-build"
}

apt_view() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q \
        -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$PARTS_APT/sources.list.d" \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts="$PARTS_APT/preferences.d" \
        -o Dir::State::Lists="$PARTS_APT/lists" -o Acquire::Languages=none -o APT::Sandbox::User=root \
        -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@"
}

apt_update() { apt_view -o APT::Update::Error-Mode=any update; }

# Nothing is ever removed for us, and no service of a new package starts, now or at the next boot.
apt_install() { # PACKAGE…
    local status=0 fresh
    fresh=$(not_installed "$@")
    services_forbid || return
    apt_view install -y --no-install-recommends --no-remove \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" || status=$?
    services_restore
    # shellcheck disable=SC2086  # one argument per package
    [ "$status" -ne 0 ] || services_disable $fresh
    return "$status"
}

not_installed() { # PACKAGE[/SUITE]…
    local package
    for package in "$@"; do
        package=${package%/*}
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
    done
}

POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='# flyte-build: no service starts while its parts are installed'

services_forbid() {
    services_restore # what a killed install left behind
    if as_root test -e "$POLICY"; then as_root mv "$POLICY" "$POLICY.flyte-build" || return; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" | as_root tee "$POLICY" >/dev/null && as_root chmod 755 "$POLICY"
}

services_restore() {
    if grep -qsF "$POLICY_MARK" "$POLICY"; then as_root rm -f "$POLICY"; fi
    if [ -e "$POLICY.flyte-build" ]; then as_root mv "$POLICY.flyte-build" "$POLICY"; fi
}

services_disable() { # PACKAGE…
    local package unit
    for package in "$@"; do
        dpkg-query -L "$package" 2>/dev/null | sed -n 's#^.*/lib/systemd/system/\([^/@]*\.\(service\|socket\)\)$#\1#p' |
            while read -r unit; do
                if has systemctl; then as_root systemctl --no-reload disable "$unit" || true; fi
                as_root rm -f /etc/systemd/system/*.wants/"$unit"
            done
    done
}
