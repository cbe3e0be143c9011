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
    --mount=type=cache,id=apt-c32a62ba72787f11-archives,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-c32a62ba72787f11-lists,target=/var/lib/apt/lists,sharing=locked \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nsh /run/flyte-build/recipe/apt.sh git curl=7.88.1-10+deb12u5"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=secret,id=plain,target=/run/secrets/plain,mode=0444,required \
    --mount=type=secret,id=token,target=/run/secrets/token,mode=0444,required \
    --mount=type=bind,source=trees/92589a3451088d8abebaa83d5308d28e,target=/run/flyte-build/requirements \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nTOKEN=\"$(cat /run/secrets/token)\"; export TOKEN\nuv pip install --requirement /run/flyte-build/requirements/requirements.txt"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nuv pip install --default-index https://a.test/simple --index https://b.test/simple --prerelease allow --no-deps --config-settings 'a=b c' 'httpx; python_version < \"3.13\"' 'numpy>=2'"]
ENV ASIDE="\$5 \\ a" GREETING="say \"hi\" to $USER"
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=secret,id=token,target=/run/secrets/token,mode=0444,required \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nTOKEN=\"$(cat /run/secrets/token)\"; export TOKEN\nmake"]
RUN --mount=type=bind,from=recipe,target=/run/flyte-build/recipe \
    --mount=type=secret,id=flyte-build-ca,target=/run/flyte-build/ca.pem,mode=0444 \
    --mount=type=secret,id=flyte-build-index,target=/run/flyte-build/index.sh,mode=0444 \
    --mount=type=secret,id=flyte-build-netrc,target=/run/flyte-build/netrc,mode=0444 \
    --mount=type=cache,id=uv,target=/run/flyte-build/uv-cache,sharing=shared \
    --mount=type=secret,id=token,target=/run/secrets/token,mode=0444,required \
    ["/bin/sh", "-c", ". /run/flyte-build/recipe/env.sh\nTOKEN=\"$(cat /run/secrets/token)\"; export TOKEN\ncat > /etc/x <<EOF\n# \"$HOME\"\nEOF"]
WORKDIR "/a \"b\""
COPY ["trees/bedb68aae4f079cd4d0a17c05e3b6277/", "/app/"]
COPY ["trees/a4a39e5351880b515ade14b1e598d379/", "./"]
COPY ["trees/9b4cdeb68cb7e4567374e0730722344b/run.sh", "/usr/bin/run"]
COPY ["trees/9b4cdeb68cb7e4567374e0730722344b/", "/bin/"]
COPY --chown=flyte:users ["trees/78b1ed273e6c3771aaba84fc6640e4df/pins.txt", "/opt/it\\'s"]
USER flyte
LABEL build.flyte.spec-digest="sha256:23a6d7b2928525a0defaf593e3259307bd249059ea1898b29eee7c332cd96d6a" build.flyte.recipe="1"
