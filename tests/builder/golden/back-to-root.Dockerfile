FROM scratch AS recipe
ARG TARGETARCH
COPY recipe/common/ /
COPY recipe/$TARGETARCH/ /

FROM registry.test/base@sha256:c32a62ba72787f11a63f2f2a7d5e325dd8d2d5a66247022302b016fe7d6a0903
USER root
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nsh /run/flyte-build/recipe/venv.sh /opt/venv 3.12"]
ENV VIRTUAL_ENV="/opt/venv" PATH="/opt/venv/bin:$PATH"
USER flyte
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nid"]
USER root
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=apt-c32a62ba72787f11-archives,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-c32a62ba72787f11-lists,target=/var/lib/apt/lists,sharing=locked \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nsh /run/flyte-build/recipe/apt.sh git"]
USER flyte
USER root
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nuv pip install x"]
USER flyte
COPY ["trees/bedb68aae4f079cd4d0a17c05e3b6277/", "./"]
USER root
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nuv pip install y"]
LABEL build.flyte.spec-digest="sha256:0ce86bb9441dd75eefcffdb3acaaf59801518f6aaecacfa0e2730ac8528390e6" build.flyte.recipe="1"
