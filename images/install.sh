# shellcheck shell=sh
# install.sh WORD…: `uv pip install` for the platform of the image, whatever machine builds it: nothing is emulated.
# Bytecode and virtual environments are the same on every platform; packages must have wheels.
set -eu
# shellcheck source=builder/flyte_build/builder/recipe_files/env.sh
. /run/flyte-build/recipe/env.sh
case $TARGETARCH in
amd64) platform=x86_64-unknown-linux-gnu ;;
arm64) platform=aarch64-unknown-linux-gnu ;;
*)
    echo "there are no images for $TARGETARCH: build for linux/amd64 or linux/arm64" >&2
    exit 1
    ;;
esac
uv pip install --only-binary :all: --python-platform "$platform" --constraints /run/flyte-build/constraints.txt "$@"
rm -f /opt/venv/.lock # anybody could write it
