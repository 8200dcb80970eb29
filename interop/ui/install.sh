#!/usr/bin/env bash
# What the page's tests need: Debian's Chromium with Korean fonts, the driver and the mock's packages,
# all by package name.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v chromium >/dev/null || ! fc-list 2>/dev/null | grep -qi 'noto.*cjk'; then
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y chromium fonts-noto-cjk fontconfig
fi
npm ci
npm ci --prefix ../../ui
