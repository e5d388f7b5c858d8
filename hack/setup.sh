#!/usr/bin/env bash
# Installs what the tests need beyond Go: a JDK and Maven for the real Kafka, Chromium for the page, and containerd and its
# helpers for the real Kubernetes node. Does nothing where all is there. Without the right to install, it says exactly what to run.
set -euo pipefail

packages=()
need() { # command, package
  local dir
  for dir in ${PATH//:/ } /usr/sbin /sbin; do
    if [ -x "$dir/$1" ]; then return; fi
  done
  packages+=("$2")
}
need java default-jdk-headless
need mvn maven
if ! command -v google-chrome >/dev/null; then need chromium chromium; fi
fc-list 2>/dev/null | grep -qi dejavu || packages+=(fonts-dejavu-core)
need containerd containerd
need runc runc
need nft nftables
need iptables iptables
need conntrack conntrack
need ip iproute2
need nsenter util-linux
[ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || packages+=(containernetworking-plugins)

if [ ${#packages[@]} -eq 0 ]; then exit 0; fi

install="apt-get install -y --no-install-recommends ${packages[*]}"
if ! command -v apt-get >/dev/null; then
  echo "setup: missing, to be installed by hand: ${packages[*]}" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  run=()
elif sudo -n true 2>/dev/null; then
  run=(sudo -n)
else
  echo "setup: no right to install packages. Run this as root, then again: apt-get update && $install" >&2
  exit 1
fi
echo "setup: installing Debian packages: ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
"${run[@]}" apt-get update -qq
# No service of a package is started: the tests start their own, and stop them.
"${run[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $install -qq >/dev/null
