"""What the scripts of this folder share: Kafka's tools of one version, the Java program, a network of one's own.

The write-ups say `localhost:9092`, so their commands need exactly that port. The scripts therefore run in a
network namespace of their own where the machine allows one: nothing else can be in the way there.
"""
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from yeoul_node import Failed, check  # noqa: E402, F401

HOME = pathlib.Path(os.environ.get("YEOUL_JVM") or pathlib.Path.home() / ".cache/yeoul/jvm")
HERE = pathlib.Path(__file__).resolve().parent
VERSIONS = ["2.8.0", "3.9.1", "4.3.0"]
CONNECT = HOME / "connect-4.3.0"
LIMIT_S = 90


def own_network(before=()):
    """Starts this script again where loopback is all there is and every port is free, if that is possible.

    `before`: commands that still need the network of the machine.
    """
    if os.environ.get("YEOUL_OWN_NETWORK"):
        return
    for words in before:
        subprocess.run(words, check=True)
    if not shutil.which("unshare"):
        return
    up = "ip link set lo up && exec \"$@\""
    words = ["unshare", "--net", "--", "sh", "-c", up, "sh"]
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    if tried.returncode == 0:
        os.environ["YEOUL_OWN_NETWORK"] = "1"
        os.execvp(words[0], [*words, sys.executable, *sys.argv])


class Said:
    """What a tool printed and how it ended."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout.decode(errors="replace")
        self.err = done.stderr.decode(errors="replace")

    @property
    def lines(self):
        return [line.strip() for line in self.out.splitlines() if line.strip()]


class Tools:
    """Apache Kafka's command line tools of one version against one broker."""

    def __init__(self, version, bootstrap, folder):
        self.version = version
        self.bootstrap = bootstrap
        self.folder = pathlib.Path(folder)
        self.home = HOME / f"kafka-{version}"
        check((self.home / "bin").is_dir(), f"{self.home} is not installed: run interop/jvm/install.sh")

    def shell(self, line, give="", limit_s=LIMIT_S, fails=False):
        """A whole command line as a person types it, in the folder where Kafka is."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.home, input=give.encode(), capture_output=True, timeout=limit_s, check=False
        )
        said = Said(done)
        check((said.code != 0) == fails, f"{self.version}: `{line}` ended with {said.code}: {said.out}{said.err}")
        return said

    def run(self, tool, *words, give="", limit_s=LIMIT_S, fails=False, where="--bootstrap-server"):
        """bin/TOOL.sh against the broker; `fails`: whether it must, None when either will do."""
        words = [f"bin/{tool}.sh", *([where, self.bootstrap] if where else []), *words]
        done = subprocess.run(
            words, cwd=self.home, input=give.encode(), capture_output=True, timeout=limit_s, check=False
        )
        said = Said(done)
        as_told = fails is None or (said.code != 0) == fails
        check(as_told, f"{self.version}: `{' '.join(words)}` ended with {said.code}: {said.out}{said.err}")
        return said

    def has(self, tool):
        return (self.home / f"bin/{tool}.sh").exists()

    def produce(self, topic, lines, *words):
        """The console producer of any version: `--broker-list` went with 4.0."""
        where = "--broker-list" if self.version.startswith("2.") else "--bootstrap-server"
        give = "".join(line + "\n" for line in lines)
        return self.run("kafka-console-producer", "--topic", topic, *words, give=give, where=where)

    def consume(self, topic, count, *words):
        """This many values from the beginning."""
        said = self.run(
            "kafka-console-consumer", "--topic", topic, "--from-beginning", "--max-messages", str(count),
            "--timeout-ms", "30000", *words,
        )
        return said.out.splitlines()


def classes(folder):
    """The Java program of this folder, compiled; returns its class path."""
    out = pathlib.Path(folder) / "classes"
    if not out.exists():
        libs = f"{CONNECT}/libs/*"
        words = ["javac", "-d", str(out), "-cp", libs, *map(str, sorted(HERE.glob("*.java")))]
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        check(done.returncode == 0, f"javac: {done.stdout}{done.stderr}")
    return f"{out}:{CONNECT}/libs/*"


def java(folder, main, *words, limit_s=300):
    """Runs a class of this folder; its lines go on as they come, and are returned."""
    log = f"-Dlog4j2.configurationFile={CONNECT}/config/log4j2.properties"
    words = ["java", "-Xmx384m", "-XX:+UseSerialGC", log, "-cp", classes(folder), main, *words]
    with open(pathlib.Path(folder) / f"{main}.err", "ab") as errors:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True)
        end, lines = time.monotonic() + limit_s, []
        try:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                print(lines[-1], flush=True)
                check(time.monotonic() < end, f"{main} took longer than {limit_s} s")
            return process.wait(30), lines
        finally:
            process.kill()


class Result:
    """Counts checks; `one` runs a check and prints its line."""

    def __init__(self, only):
        self.only = only
        self.passed = 0
        self.failed = 0

    def wants(self, name):
        return not self.only or any(name.startswith(word) for word in self.only)

    def one(self, name, work, *arguments):
        if not self.wants(name):
            return
        began = time.monotonic()
        try:
            said = work(*arguments)
            self.passed += 1
            print(f"ok      {name}: {said} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as error:  # noqa: BLE001: whatever a tool does is a failed check
            self.failed += 1
            trace = "" if isinstance(error, Failed) else traceback.format_exc()
            print(f"FAILED  {name}: {error}\n{trace}", flush=True)

    def beside(self, work):
        """[(name, function, *arguments)…] lists, each list in order, the lists beside each other."""
        with concurrent.futures.ThreadPoolExecutor(len(work)) as pool:
            for done in [pool.submit(lambda row: [self.one(*one) for one in row], row) for row in work]:
                done.result()

    def java(self, folder, bootstrap, only=()):
        """The Java program's checks, counted with the others."""
        if self.only:
            only = [word.removeprefix("java.") for word in self.only if word.startswith("java.")]
            if not only:
                return
        _, lines = java(folder, "Peer", bootstrap, *only)
        self.passed += sum(line.startswith("ok ") for line in lines)
        self.failed += sum(line.startswith("FAILED ") for line in lines)
        if not lines:
            self.failed += 1
            print(f"FAILED  java: nothing ran; see {folder}/Peer.err", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0
