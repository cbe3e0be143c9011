# installed.sh FOLDER: lists what is installed, into files of a throw-away step; the image itself is not changed.
out=$1
mkdir -p "$out"
cat /etc/os-release >"$out/os-release" 2>/dev/null || cat /usr/lib/os-release >"$out/os-release" 2>/dev/null
cat /var/lib/dpkg/status /var/lib/dpkg/status.d/* 2>/dev/null |
    grep '^Package: \|^Status: \|^Architecture: \|^Version: ' >"$out/dpkg"
find / -xdev \( -path /proc -o -path /sys -o -path "$out" \) -prune -o \
    -path '*.dist-info/METADATA' -exec grep -H '^Name: \|^Version: ' {} + >"$out/python" 2>/dev/null
find / -xdev \( -path /proc -o -path /sys -o -path "$out" \) -prune -o \
    -path '*/conda-meta/*.json' -print >"$out/conda" 2>/dev/null
exit 0
