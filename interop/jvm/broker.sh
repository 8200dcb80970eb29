#!/usr/bin/env bash
# An Apache Kafka broker of one node (KRaft), for figures and comparisons beside ours:
#   broker.sh DIR PORT [VERSION] [KEY=VALUE…]
# Formats DIR when it is new, then becomes the broker, so its process id is the caller's child and a signal ends it.
# It serves once the port accepts. KAFKA_HEAP_OPTS is 1 GB as in Kafka's own script; the JVM's options too.
set -euo pipefail
dir=${1:?broker.sh DIR PORT [VERSION] [KEY=VALUE…]}
port=${2:?a port}
version=${3:-4.3.0}
home="${YEOUL_JVM:-$HOME/.cache/yeoul/jvm}/kafka-$version"
[ -d "$home/bin" ] || { echo "broker.sh: $home is not there: run interop/jvm/install.sh" >&2; exit 1; }
mkdir -p "$dir"
dir="$(cd "$dir" && pwd)"
{
  cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
END
  for setting in "${@:4}"; do echo "$setting"; done
} >"$dir/server.properties"
if [ ! -e "$dir/data/meta.properties" ]; then
  "$home/bin/kafka-storage.sh" format -t 4L6g3nShT-eMCtK--X86sw -c "$dir/server.properties" >"$dir/format.log" 2>&1
fi
exec java ${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G} -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
  -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true \
  "-Dlog4j.configuration=file:$home/config/log4j1.properties" \
  "-Dlog4j2.configurationFile=$home/config/log4j2.properties" \
  -cp "$home/libs/*" kafka.Kafka "$dir/server.properties"
