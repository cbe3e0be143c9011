FROM scratch AS recipe
ARG TARGETARCH
COPY recipe/common/ /
COPY recipe/$TARGETARCH/ /

FROM registry.test/base@sha256:c32a62ba72787f11a63f2f2a7d5e325dd8d2d5a66247022302b016fe7d6a0903
USER root
RUN ["/bin/sh", "-c", "for one in /opt/venv/bin/python \"python$1\" python3 python; do\n    found=$(\"$one\" -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])' 2>/dev/null) || continue\n    [ \"$found\" = \"$1\" ] && exit 0\n    other=${other:-, but Python $found}\ndone\necho \"the base has no Python $1${other:-}\" >&2\nexit 1\n", "python", "3.12"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=apt-c32a62ba72787f11-archives,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-c32a62ba72787f11-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=token,target=/run/secrets/token,mode=0444,required \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nTOKEN=\"$(cat /run/secrets/token)\"; export TOKEN\nsh /run/flyte-build/recipe/apt.sh git"]
LABEL build.flyte.spec-digest="sha256:139dbcc747b871a0ea043039a5c311dc0f4b0c8dc40543c713bae8aeef0ad2b5" build.flyte.recipe="1"
