#!/usr/bin/env bash
# Apache Superset as its users install it, by package name, each version in a venv of its own outside
# the repository; and the browser's driver of ../ui, which the charts are looked at with.
# Without an argument 4.1.4 only, with `newest` the newest as well. What is there already is left alone;
# a venv appears whole or not at all.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
home="${YEOUL_SUPERSET:-$HOME/.cache/yeoul/superset}"
mkdir -p "$home"

# once NAME PACKAGE…: a venv with these packages.
once() {
  local name=$1
  shift
  if [ -x "$home/$name/bin/superset" ] && [ -f "$home/$name/complete" ]; then return; fi
  rm -rf "${home:?}/$name"
  python3 -m venv "$home/$name"
  "$home/$name/bin/pip" -q install --disable-pip-version-check -U pip wheel "setuptools<81"
  # The network of a build machine is not always there at once; pip goes on with what it has.
  for attempt in 1 2 3; do
    if "$home/$name/bin/pip" -q install --disable-pip-version-check "$@"; then
      touch "$home/$name/complete"
      return
    fi
    echo "pip: attempt $attempt failed"
    sleep $((attempt * 5))
  done
  return 1
}

# The pins are those that make the packages start: what they ask for themselves is too wide.
once 4.1.4 "apache-superset==4.1.4" "pydruid==0.6.9"
if [ "${1:-}" = newest ]; then
  once newest apache-superset pydruid rich cachetools "flask-caching<2.4"
fi
if [ ! -d "$here/../ui/node_modules/playwright-core" ] || ! command -v chromium >/dev/null; then
  bash "$here/../ui/install.sh"
fi
for version in 4.1.4 ${1:+newest}; do
  python3 "$here/server.py" "$version"
done
