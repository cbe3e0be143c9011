# shellcheck shell=bash disable=SC2016  # "$1" in a hook is mmdebstrap's
# The base image in the local registry: the public one where it can be had, else one made from Debian packages.

BASE_PUBLIC=${PARTS_BASE_IMAGE:-python:3.12-slim-bookworm}
BASE_SUITE=bookworm
BASE_PACKAGES=python3-minimal,python3-venv,ca-certificates
BASE_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
BASE_EPOCH=1686355200 # bookworm's release; file times of 1970 upset zip archives
BASE_ROOTFS=$PARTS_STATE/rootfs
BASE_NOTE=$PARTS_STATE/base.env

base_value() { sed -n "s/^$1=//p" "$BASE_NOTE" 2>/dev/null; }

# "sha256:…" of REPOSITORY:TAG in the local registry, nothing if it is not there.
base_pushed_digest() { # REPOSITORY:TAG
    curl -fsS --noproxy '*' -m 5 -I "http://$(registry_address)/v2/${1%:*}/manifests/${1##*:}" \
        -H 'Accept: application/vnd.oci.image.manifest.v1+json' -H 'Accept: application/vnd.oci.image.index.v1+json' \
        -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' 2>/dev/null |
        tr -d '\r' | awk 'tolower($1) == "docker-content-digest:" {print $2}'
}

base_ensure() {
    local name digest
    name=$(base_value BASE_NAME)
    digest=$(base_value BASE_DIGEST)
    if [ -n "$digest" ] && [ "$(base_value BASE_RECIPE)" = "$(base_recipe)" ] && [ "$(base_pushed_digest "$name")" = "$digest" ]; then return 0; fi
    if base_public_answers; then base_from_public; else base_from_debian; fi
}

base_recipe() { { printf '%s\n' "$BASE_PUBLIC" "$(apt_mirror_if_any)" && base_bootstrap_arguments && base_dockerfile rootfs; } | digest; }
apt_mirror_if_any() { if has mmdebstrap; then apt_mirror; fi; }

base_public_answers() {
    within 10 docker buildx --builder default imagetools inspect "$BASE_PUBLIC" >"$PARTS_LOGS/base-public.log" 2>&1 </dev/null
}

base_from_public() {
    local version tag=${BASE_PUBLIC##*:}
    step "Take the base image $BASE_PUBLIC" "set PARTS_BASE_IMAGE to an image your engine can pull." \
        base_push "base/python:$tag" "$PARTS_LIB" "FROM $BASE_PUBLIC" || return
    version=$(docker run --rm "$(registry_address)/base/python:$tag" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
        refuse "No container of $BASE_PUBLIC runs python3: set PARTS_BASE_IMAGE to an image with Python." || return
    base_record "base/python:$tag" "$version" pulled
}

base_from_debian() {
    local tar version name
    has mmdebstrap || {
        refuse "The base image $BASE_PUBLIC cannot be pulled and mmdebstrap is not here to make one: set PARTS_BASE_IMAGE to an image your engine can pull, or install mmdebstrap."
        return 1
    }
    tar=$BASE_ROOTFS/$(base_recipe).tar
    [ -f "$tar" ] || step "Make a base image from Debian packages ($BASE_PUBLIC cannot be pulled)" \
        "see what mmdebstrap says above." base_bootstrap "$tar" || return
    version=$(tar -tf "$tar" | sed -n 's#^\./usr/bin/python\(3\.[0-9]*\)$#\1#p' | head -n 1)
    [ -n "$version" ] || { refuse "The base image holds no Python: remove .cache/parts/rootfs and start again."; return 1; }
    name=base/python:$version-slim-$BASE_SUITE
    step "Push the base image $name to the local registry" "see what the engine says above." \
        base_push_tar "$name" "$tar" || return
    base_record "$name" "$version" "made from Debian packages"
}

# One per line. No documentation, no caches, no logs: what the public slim image leaves out too.
base_bootstrap_arguments() {
    printf '%s\n' --mode=root --variant=minbase --include="$BASE_PACKAGES" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
        --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python"' \
        --customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/etc/apt/apt.conf.d/99mmdebstrap' \
        --customize-hook='mkdir -p "$1"/var/lib/apt/lists/partial "$1"/var/cache/apt/archives/partial' \
        --customize-hook='find "$1/usr" -name __pycache__ -prune -exec rm -rf {} +' \
        "$BASE_SUITE"
}

# The sources written into it are this machine's, so that apt works in a RUN step too.
base_bootstrap() { # TAR [ARCHITECTURE]
    local mirror argument arguments=() part=$1.part.tar
    mirror=$(apt_mirror) || return
    mkdir -p "$(dirname "$1")" && rm -f "$(dirname "$1")"/*.tar || return
    while IFS= read -r argument; do arguments+=("$argument"); done < <(base_bootstrap_arguments)
    [ -z "${2:-}" ] || arguments=("--architectures=$2" "${arguments[@]}")
    as_root env SOURCE_DATE_EPOCH="$BASE_EPOCH" mmdebstrap "${arguments[@]}" "$part" "deb [$(base_source_options)] $mirror $BASE_SUITE main" &&
        as_root chown "$(id -u)" "$part" && mv "$part" "$1"
}

# As for the machine's own view of the archive: the age of forky's list is not checked.
base_source_options() {
    printf 'signed-by=%s' "$DEBIAN_KEYRING"
    [ "$BASE_SUITE" != forky ] || printf ' check-valid-until=no'
}

base_dockerfile() { # FILE
    printf 'FROM scratch\nADD %s /\nENV PATH=%s LANG=C.UTF-8\nCMD ["python3"]\n' "$1" "$BASE_PATH"
}

base_push_tar() { # NAME TAR
    base_push "$1" "$(dirname "$2")" "$(base_dockerfile "$(basename "$2")")"
}

# The engine's own BuildKit puts it together: the same bytes give the same digest on every machine.
base_push() { # NAME CONTEXT DOCKERFILE
    printf '%s\n' "$3" | SOURCE_DATE_EPOCH=$BASE_EPOCH docker buildx build --builder default --progress plain \
        --provenance=false --sbom=false --file - \
        --output "type=image,name=$(registry_address)/$1,push=true,oci-mediatypes=true" "$2"
}

base_record() { # NAME VERSION ORIGIN
    local digest
    digest=$(base_pushed_digest "$1")
    [ -n "$digest" ] || { refuse "The local registry does not show the base image $1 after its push."; return 1; }
    printf '%s=%s\n' BASE_NAME "$1" BASE_PYTHON "$2" BASE_ORIGIN "$3" BASE_DIGEST "$digest" BASE_RECIPE "$(base_recipe)" >"$BASE_NOTE"
}

# The path of a root file system of another suite, and so with another Python; made once, for tests of our own images.
base_rootfs() { # SUITE
    make_places && locked "$PARTS_STATE/rootfs-$1.lock" base_rootfs_of "$1"
}

base_rootfs_of() { # SUITE
    local tar BASE_SUITE=$1
    has mmdebstrap || refuse "A root file system of Debian $1 needs mmdebstrap: run tests/parts/parts install." || return
    tar=$PARTS_STATE/rootfs-$1/$(base_recipe).tar
    [ -f "$tar" ] || step "Make a root file system of Debian $1" "see what mmdebstrap says above." base_bootstrap "$tar" || return
    printf '%s\n' "$tar"
}
