"""One process of workers over one client library: `worker.py LIBRARY {json}`. Works until a line comes on
stdin, then ends what is open, writes the rest down as unknown, and says in its last line what it did.
"""
import json
import os
import pathlib
import sys
import threading
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from history import History  # noqa: E402


class Run:
    """What all workers of a process share."""

    def __init__(self, options):
        self.options = options
        self.kafka = options["kafka"]
        self.run = options["run"]
        self.rate = options["rate"]
        self.txn = options["txn"]
        self.history = History(options["history"], options["run"])
        self.stopping = threading.Event()
        self.failures = []
        self.notes = {}

    def note(self, what, count=1):
        self.notes[what] = self.notes.get(what, 0) + count

    def spawn(self, function, *arguments):
        def guarded():
            try:
                function(self, *arguments)
            except BaseException:  # noqa: BLE001: a worker that ends early makes the run worthless
                self.failures.append(f"{function.__name__}{arguments}: {traceback.format_exc()}")

        thread = threading.Thread(target=guarded, name=function.__name__, daemon=True)
        thread.start()
        return thread


def main():
    library, options = sys.argv[1], json.loads(sys.argv[2])
    run = Run(options)
    module = __import__(f"work_{library}")
    threads = module.start(run)
    sys.stdin.readline()
    run.stopping.set()
    for thread in threads:
        thread.join(120)
        if thread.is_alive():
            frame = sys._current_frames().get(thread.ident)
            run.failures.append(f"{thread.name} did not end within 120 s: {''.join(traceback.format_stack(frame)[-4:])}")
    run.history.close()
    print(json.dumps({"notes": run.notes, "failures": run.failures}), flush=True)
    # Some clients hang in their destructors when a broker was killed under them.
    os._exit(1 if run.failures else 0)


if __name__ == "__main__":
    main()
