"""Apache Superset as a process that a script starts, asks over its REST API, and stops. Stdlib only.

Nothing in Superset is changed: the settings below are what its documentation says to set for a trial on
one machine. Its own database is prepared once per version (`install.sh` calls this file) and copied for
each run, because making it costs more than a minute.
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from yeoul_node import Failed, HttpFailure, check, wait_for  # noqa: E402

HOME = pathlib.Path(os.environ.get("YEOUL_SUPERSET") or pathlib.Path.home() / ".cache/yeoul/superset")
USER = {"username": "admin", "password": "admin"}
CONFIG = """\
SECRET_KEY = "only for a test on one machine"
SQLALCHEMY_DATABASE_URI = "sqlite:///{folder}/superset.db?check_same_thread=false"
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
PREVENT_UNSAFE_DB_CONNECTIONS = False
RATELIMIT_ENABLED = False
"""
START_S = 180


def program(version):
    return HOME / version / "bin" / "superset"


def environment(folder):
    path = folder / "superset_config.py"
    path.write_text(CONFIG.format(folder=folder))
    keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    return keep | {"SUPERSET_CONFIG_PATH": str(path), "FLASK_APP": "superset", "SUPERSET_HOME": str(folder)}


def prepare(version):
    """Makes the version's own database, once: tables, roles, one user."""
    done = HOME / version / "superset.db"
    if done.exists():
        return
    folder = HOME / version / "preparing"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    create = ["fab", "create-admin", "--username", USER["username"], "--password", USER["password"],
              "--firstname", "a", "--lastname", "b", "--email", "a@example.com"]
    for words in (["db", "upgrade"], create, ["init"]):
        made = subprocess.run([program(version), *words], env=environment(folder), capture_output=True, text=True)
        if made.returncode:
            raise Failed(f"superset {words[0]} of {version}: {made.stderr[-2000:]}")
    os.replace(folder / "superset.db", done)
    shutil.rmtree(folder)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Superset:
    """One process on a folder of its own."""

    def __init__(self, version, folder):
        self.version, self.folder = version, pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HOME / version / "superset.db", self.folder / "superset.db")
        self.base = None
        self.process = None
        self.token = None

    def start(self):
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        self.log = open(self.folder / "superset.log", "wb")
        words = [program(self.version), "run", "-h", "127.0.0.1", "-p", str(port), "--with-threads"]
        self.process = subprocess.Popen(
            words, env=environment(self.folder), stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )

        def serves():
            check(self.process.poll() is None, f"Superset ended with {self.process.returncode}: {self.said()}")
            with urllib.request.urlopen(self.base + "/health", timeout=10) as answer:
                return answer.status == 200

        wait_for("Superset", serves, START_S, every_s=0.3)
        self.token = self.post("/api/v1/security/login", USER | {"provider": "db", "refresh": True})["access_token"]
        return self

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def said(self, lines=25):
        text = (self.folder / "superset.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def call(self, method, path, body=None, limit_s=90):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        request.add_header("accept", "application/json")
        if data is not None:
            request.add_header("content-type", "application/json")
        if self.token:
            request.add_header("authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=limit_s) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise HttpFailure(error.code, f"Superset's {method} {path}: {text[:2000]}") from None

    def get(self, path, **kwargs):
        return self.call("GET", path, **kwargs)

    def post(self, path, body, **kwargs):
        return self.call("POST", path, body, **kwargs)

    def put(self, path, body, **kwargs):
        return self.call("PUT", path, body, **kwargs)


if __name__ == "__main__":
    for one in sys.argv[1:]:
        prepare(one)
