# venv.sh FOLDER [X.Y]: a virtual environment there, unless the base brings one that has the Python asked for.
folder=$1
wanted=${2:-}
if [ ! -x "$folder/bin/python" ]; then
    exec uv venv --quiet --no-project --python "${wanted:-python3}" "$folder"
fi
found=$("$folder/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 1
if [ -n "$wanted" ] && [ "$found" != "$wanted" ]; then
    echo "the base has Python $found in $folder, and Python $wanted was asked for" >&2
    exit 1
fi
