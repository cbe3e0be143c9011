# Debian packages, without the files that say when they were installed.
set -e
apt-get -qq update
apt-get -q install --yes --no-install-recommends "$@"
rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache
rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old
