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
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nsh /run/flyte-build/recipe/venv.sh /opt/venv"]
ENV VIRTUAL_ENV="/opt/venv" PATH="/opt/venv/bin:$PATH"
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\ntrue"]
LABEL build.flyte.spec-digest="sha256:6020d7a371a909caca213a8c790165c2caf0d258eed732d286e088105e419b84" build.flyte.recipe="1"
