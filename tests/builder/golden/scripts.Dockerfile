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
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nuv pip install --exclude-newer 2026-01-01T00:00:00Z idna"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=bind,source=trees/5e1e57da0c61f9f2dee3f5a38f514afc,target=/run/flyte-build/requirements \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nuv pip install --index-strategy unsafe-best-match --no-deps --requirement /run/flyte-build/requirements/pins.txt"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=bind,source=trees/d24367122116c4dfbf9adb99984a9fe9,target=/run/flyte-build/projects,rw \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nUV_NO_INSTALLER_METADATA=1 uv pip install --index-strategy unsafe-best-match --no-deps --no-sources --reinstall /run/flyte-build/projects/0-member /run/flyte-build/projects/1-lib"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=bind,source=trees/8e33e3d164946ef03a89f6c3b17ccb72,target=/run/flyte-build/projects,rw \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nUV_NO_INSTALLER_METADATA=1 uv pip install --index-strategy unsafe-best-match --no-deps --no-sources --reinstall /run/flyte-build/projects/project"]
COPY --from=pixi-05c3af95ff61d40f ["/usr/local/bin/pixi", "/usr/local/bin/pixi"]
COPY ["trees/0249d16957097654a477a53aafe6a814/", "/opt/pixi-project/"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=pixi,target=/run/flyte-build/pixi-cache,sharing=locked \
    --mount=type=secret,id=token,target=/run/secrets/token,mode=0444,required \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nTOKEN=\"$(cat /run/secrets/token)\"; export TOKEN\nPIXI_CACHE_DIR=/run/flyte-build/pixi-cache pixi install --manifest-path /opt/pixi-project/pixi.toml --environment default"]
ENV VIRTUAL_ENV="/opt/pixi-project/.pixi/envs/default" PATH="/opt/pixi-project/.pixi/envs/default/bin:$PATH" PIXI_PROJECT_MANIFEST="/opt/pixi-project/pixi.toml"
LABEL build.flyte.spec-digest="sha256:f104fb14d77dc4b306a30cb84f42b648feb0516d011712fdbab5efce98b3fc1f" build.flyte.recipe="1"
