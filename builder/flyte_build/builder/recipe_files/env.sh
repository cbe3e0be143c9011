# Sourced before every step of a build; mounted, never part of an image.
here=/run/flyte-build
export PATH="$here/recipe/bin:$PATH"
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CONFIG=1
# An emulated Python may take longer to start than uv's minute.
export UV_COMPILE_BYTECODE_TIMEOUT=600
# Hashes, because the time stamps of files change when the image is pushed, and with them what stamps would prove.
export PYC_INVALIDATION_MODE=UNCHECKED_HASH
# The cache belongs to root; a step of another user does without.
if [ -w "$here/uv-cache" ]; then export UV_CACHE_DIR="$here/uv-cache"; else export UV_NO_CACHE=1; fi
export VIRTUAL_ENV="${VIRTUAL_ENV:-/opt/venv}"
export DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
if [ -f "$here/ca.pem" ]; then
    export SSL_CERT_FILE="$here/ca.pem" REQUESTS_CA_BUNDLE="$here/ca.pem" CURL_CA_BUNDLE="$here/ca.pem"
    export PIP_CERT="$here/ca.pem" GIT_SSL_CAINFO="$here/ca.pem" NODE_EXTRA_CA_CERTS="$here/ca.pem"
    export APT_CONFIG="$here/recipe/apt.conf"
fi
if [ -f "$here/index.sh" ]; then . "$here/index.sh"; fi
if [ -f "$here/netrc" ]; then export NETRC="$here/netrc"; fi
unset here
