# shellcheck shell=bash disable=SC2016  # $TARGETARCH is BuildKit's
# A base image for linux/amd64 and linux/arm64, and what runs the other's programs here. Only for tests: PARTS_MULTI=1.

MULTI_ARCH=arm64
MULTI_HANDLER=qemu-aarch64
MULTI_BINFMT=/proc/sys/fs/binfmt_misc
MULTI_NOTE=$PARTS_STATE/base-multi.env
MULTI_ROOTFS=$PARTS_STATE/rootfs-$MULTI_ARCH

multi_wanted() { [ -n "${PARTS_MULTI:-}" ]; }
multi_value() { sed -n "s/^$1=//p" "$MULTI_NOTE" 2>/dev/null; }

multi_ensure() {
    multi_wanted || return 0
    multi_emulates || step "Let this kernel run $MULTI_ARCH programs" \
        "see whether $MULTI_BINFMT can be written as root, or install an emulator for your engine." multi_register || return
    [ "$(multi_value BASE_MULTI_FROM)" = "$(base_value BASE_DIGEST)" ] &&
        [ "$(base_pushed_digest "$(multi_value BASE_MULTI)")" = "$(multi_value BASE_MULTI_DIGEST)" ] && return 0
    if [ "$(base_value BASE_ORIGIN)" = pulled ]; then multi_from_public; else multi_from_debian; fi
}

# Whether the engine says that it can: a kernel of another machine (Docker Desktop) is not ours to look at.
multi_emulates() { docker buildx inspect default 2>/dev/null | grep -q "linux/$MULTI_ARCH"; }

multi_register() {
    if ! engine_is_private && ! has qemu-aarch64-static; then
        docker run --rm --privileged tonistiigi/binfmt --install "$MULTI_ARCH"
        return
    fi
    [ -e "$MULTI_BINFMT/register" ] || as_root mount -t binfmt_misc binfmt_misc "$MULTI_BINFMT" || return
    # The flag F in it opens the emulator now, so that images need none of their own.
    [ -e "$MULTI_BINFMT/$MULTI_HANDLER" ] ||
        as_root tee "$MULTI_BINFMT/register" <"/usr/lib/binfmt.d/$MULTI_HANDLER.conf" >/dev/null || return
    wait_for 10 multi_emulates
}

multi_from_public() {
    local tag=${BASE_PUBLIC##*:}
    step "Take the base image $BASE_PUBLIC for two platforms" "set PARTS_BASE_IMAGE to an image of both." \
        multi_push "base/python:$tag-multi" "$PARTS_LIB" "FROM $BASE_PUBLIC"
}

multi_from_debian() {
    local tar name
    name=$(base_value BASE_NAME)-multi
    tar=$MULTI_ROOTFS/$(base_recipe).tar
    [ -f "$tar" ] || step "Make a base image for $MULTI_ARCH from Debian packages (emulated: minutes, once)" \
        "see what mmdebstrap says above." base_bootstrap "$tar" "$MULTI_ARCH" || return
    step "Push the base image $name to the local registry" "see what the engine says above." \
        multi_push_tars "$name" "$tar"
}

multi_push_tars() { # NAME ARM64-TAR
    local context=$PARTS_STATE/multi
    rm -rf "$context" && mkdir -p "$context" || return
    ln "$BASE_ROOTFS/$(base_recipe).tar" "$context/amd64.tar" && ln "$2" "$context/$MULTI_ARCH.tar" || return
    multi_push "$1" "$context" "$(base_dockerfile '$TARGETARCH.tar' | sed '1a ARG TARGETARCH')"
    rm -rf "$context"
}

# `push=`: true to BuildKit and nothing to Buildx, which would push once more what the engine has not kept.
multi_push() { # NAME CONTEXT DOCKERFILE
    local digest
    printf '%s\n' "$3" | SOURCE_DATE_EPOCH=$BASE_EPOCH docker buildx build --builder default --progress plain \
        --provenance=false --sbom=false --file - --platform "linux/amd64,linux/$MULTI_ARCH" \
        --output "type=image,name=$(registry_address)/$1,push=,oci-mediatypes=true,unpack=false,store=false" "$2" || return
    digest=$(base_pushed_digest "$1")
    [ -n "$digest" ] || return
    printf '%s=%s\n' BASE_MULTI "$1" BASE_MULTI_DIGEST "$digest" BASE_MULTI_FROM "$(base_value BASE_DIGEST)" >"$MULTI_NOTE"
}

multi_env() {
    [ -f "$MULTI_NOTE" ] || return 0
    printf 'export FLYTE_BUILD_TEST_BASE_MULTI=%q\n' "$(registry_address)/$(multi_value BASE_MULTI)"
}
