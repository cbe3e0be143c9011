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
    --mount=type=secret,id=token,target=/run/secrets/token,mode=0444,required \
    --mount=type=bind,source=trees/5e1e57da0c61f9f2dee3f5a38f514afc,target=/run/flyte-build/requirements \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nTOKEN=\"$(cat /run/secrets/token)\"; export TOKEN\nuv pip install --index-strategy unsafe-best-match --no-deps --requirement /run/flyte-build/requirements/pins.txt"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=secret,id=token,target=/run/secrets/token,mode=0444,required \
    --mount=type=bind,source=trees/d24367122116c4dfbf9adb99984a9fe9,target=/run/flyte-build/projects,rw \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nTOKEN=\"$(cat /run/secrets/token)\"; export TOKEN\nUV_NO_INSTALLER_METADATA=1 uv pip install --index-strategy unsafe-best-match --no-deps --no-sources --reinstall /run/flyte-build/projects/0-member /run/flyte-build/projects/1-lib"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=secret,id=token,target=/run/secrets/token,mode=0444,required \
    --mount=type=bind,source=trees/8e33e3d164946ef03a89f6c3b17ccb72,target=/run/flyte-build/projects,rw \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nTOKEN=\"$(cat /run/secrets/token)\"; export TOKEN\nUV_NO_INSTALLER_METADATA=1 uv pip install --index-strategy unsafe-best-match --no-deps --no-sources --reinstall /run/flyte-build/projects/project"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=bind,source=trees/3d0f952fbf3ce1b7cff048dde8f325b3,target=/run/flyte-build/wheels \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nUV_NO_INSTALLER_METADATA=1 uv pip install --prerelease allow --find-links /run/flyte-build/wheels --refresh-package member member && UV_NO_INSTALLER_METADATA=1 uv pip install --prerelease allow --find-links /run/flyte-build/wheels --no-deps --no-index --reinstall member"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=cache,id=poetry,target=/run/flyte-build/poetry-cache,sharing=locked \
    --mount=type=secret,id=token,target=/run/secrets/token,mode=0444,required \
    --mount=type=bind,source=trees/68638e9bcf4beca6245d412945380bd9,target=/run/flyte-build/project,rw \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nTOKEN=\"$(cat /run/secrets/token)\"; export TOKEN\ncd /run/flyte-build/project && POETRY_CACHE_DIR=/run/flyte-build/poetry-cache UV_TOOL_DIR=/run/flyte-build/poetry-cache/tools POETRY_VIRTUALENVS_CREATE=false uv tool run --quiet --from poetry==2.5.1 poetry install --no-interaction --no-ansi --compile --no-root --only main"]
COPY --from=pixi-05c3af95ff61d40f ["/usr/local/bin/pixi", "/usr/local/bin/pixi"]
COPY ["trees/0497b02c2bd22bc74c74179f84550a24/", "/opt/pixi-project/"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=pixi,target=/run/flyte-build/pixi-cache,sharing=locked \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nPIXI_CACHE_DIR=/run/flyte-build/pixi-cache pixi install --manifest-path /opt/pixi-project/pixi.toml --environment gpu"]
ENV VIRTUAL_ENV="/opt/pixi-project/.pixi/envs/gpu" PATH="/opt/pixi-project/.pixi/envs/gpu/bin:$PATH" PIXI_PROJECT_MANIFEST="/opt/pixi-project/pixi.toml"
COPY ["trees/9559519d6aca937d573d01583e46b4be/", "/code/"]
LABEL build.flyte.spec-digest="sha256:cd19a2919f2672665f2ea289ba879c0d70cf242166e559039727bad4d6c99094" build.flyte.recipe="1"
