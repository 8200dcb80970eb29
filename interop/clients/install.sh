#!/usr/bin/env bash
# The field's Kafka clients, by package name: kcat from Debian, the Python ones in a venv of their
# own outside the repository, kafkajs where npm is at hand. Does nothing for what is there already.
set -euo pipefail
home="${YEOUL_CLIENTS:-$HOME/.cache/yeoul/clients}"
mkdir -p "$home"
if ! command -v kcat >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq kcat
fi
if ! "$home/venv/bin/python" -c 'import kafka, confluent_kafka, aiokafka, lz4, snappy, zstandard' 2>/dev/null; then
  python3 -m venv "$home/venv"
  "$home/venv/bin/pip" -q install kafka-python confluent-kafka aiokafka lz4 python-snappy zstandard cramjam
fi
if command -v npm >/dev/null && [ ! -d "$home/node_modules/kafkajs" ]; then
  (cd "$home" && npm install --silent --no-fund --no-audit kafkajs) || echo "kafkajs could not be installed: skipped"
fi
