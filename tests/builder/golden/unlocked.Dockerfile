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
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=bind,source=trees/3e60247e31f80638aad3042327ff192c,target=/run/flyte-build/project,rw \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nunset UV_NO_CONFIG\ncd /run/flyte-build/project && UV_NO_INSTALLER_METADATA=1 uv sync --active --inexact --no-editable --group 'a b' --no-install-project"]
LABEL build.flyte.spec-digest="sha256:56c0a355baf9c4110c7cb00adff3fa3d862551171f00a083575ee4b706c755e3" build.flyte.recipe="1"
