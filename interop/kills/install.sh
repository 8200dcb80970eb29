#!/usr/bin/env bash
# The same clients as interop/clients, and strace: by package name, only what is missing.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
bash "$here/../clients/install.sh"
if ! command -v strace >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq strace || echo "strace could not be installed: its parts are skipped"
fi
