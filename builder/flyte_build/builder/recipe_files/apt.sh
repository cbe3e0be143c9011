# Debian packages, without the files that say when they were installed. Says what it installed, or all if it failed.
set -e
apt-get -qq update
said=$(apt-get -q -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "$@" 2>&1) || {
    code=$?
    printf '%s\n' "$said"
    exit "$code"
}
printf '%s\n' "$said" | sed -n 's/^Setting up \(.*\) (\(.*\)) \.\.\..*/ + \1 \2/p'
rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache
rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old
