# shellcheck shell=bash
# The Python environment .venv: made by uv, made again only when what it is made from changes.

PARTS_VENV=$PARTS_ROOT/.venv
# An activated environment is no source of the python and the uv that make it anew.
PATH=:$PATH:
PATH=${PATH//:$PARTS_VENV\/bin:/:}
PATH=${PATH#:} PATH=${PATH%:}

python_environment() { mkdir -p "$PARTS_STATE" "$PARTS_LOGS" && locked "$PARTS_STATE/venv.lock" venv_ensure; }

venv_ensure() {
    local stamp
    stamp=$(venv_recipe) || return
    [ "$(cat "$PARTS_VENV/.flyte-build" 2>/dev/null)" = "$stamp" ] && "$PARTS_VENV/bin/python" -c '' 2>/dev/null && return 0
    python_is_here || return
    uv_is_here || return
    step "Make the Python environment .venv" "see whether the package index answers; the log has uv's words." venv_make || return
    printf '%s\n' "$stamp" >"$PARTS_VENV/.flyte-build"
}

venv_recipe() { (cd "$PARTS_ROOT" && cat pyproject.toml && if [ -f constraints.txt ]; then cat constraints.txt; fi) | digest; }

# A real interpreter, not a shim.
python_path() { python3 -c 'import sys; print(sys.executable) if sys.version_info >= (3, 10) else sys.exit(1)' 2>/dev/null; }

python_is_here() {
    python_path >/dev/null && return 0
    if ! has python3 && has apt-get && can_be_root; then
        step "Install python3" "install python3 (3.10 or newer) by hand and start again." python_install
        return
    fi
    refuse "Python 3.10 or newer is needed as python3: install it and start again."
}

python_install() { apt_prepare && apt_update && apt_install python3 python3-venv; }

# uv of the machine, or one of our own from the package index.
uv_path() {
    if uv --version >/dev/null 2>&1; then printf uv; else printf '%s/uv/bin/uv' "$PARTS_STATE"; fi
}

uv_is_here() {
    "$(uv_path)" --version >/dev/null 2>&1 && return 0
    step "Install uv for this project" "install uv by hand and start again." uv_install
}

uv_install() {
    local python
    python=$(python_path) || return
    if ! "$python" -c 'import ensurepip' 2>/dev/null && has apt-get && can_be_root; then
        apt_prepare && apt_update && apt_install python3-venv || return
    fi
    "$python" -m venv --clear "$PARTS_STATE/uv" && "$PARTS_STATE/uv/bin/python" -m pip install -q uv
}

venv_make() {
    local constraints=() uv
    uv=$(uv_path)
    cd "$PARTS_ROOT" || return
    [ ! -f constraints.txt ] || constraints=(-c constraints.txt)
    "$uv" venv --clear --no-project --python "$(python_path)" "$PARTS_VENV" &&
        "$uv" pip install --python "$PARTS_VENV/bin/python" -e '.[all]' --group dev "${constraints[@]+"${constraints[@]}"}"
}
