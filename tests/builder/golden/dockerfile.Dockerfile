FROM a:1
COPY src /src
LABEL build.flyte.spec-digest="sha256:b44ffdc4680a2268c834cf0944688f5a6038f2752ce3bced79bacd2e6c4aa834" build.flyte.recipe="1"
