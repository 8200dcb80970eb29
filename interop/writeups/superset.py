"""Write-up A's dashboard: Superset as it is, by the address and the driver that its author used."""
import pathlib
import subprocess
import sys

from steps import check, main

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "superset"
sys.path.insert(0, str(FOLDER))


class Session:
    """Made with the first step: the node, Superset and the browser of `interop/superset`."""

    made = None


def start():
    subprocess.run(["bash", str(FOLDER / "install.sh")], check=True)
    import checks

    Session.made = checks.Session("4.1.4")
    return checks.start(Session.made)


def step(*names):
    def run():
        import checks

        check(Session.made, "Superset did not start")
        return "; ".join(str(getattr(checks, name)(Session.made)) for name in names)

    return run


class Ends:
    """What `main` stops, in the form in which it stops nodes."""

    folder = "/nonexistent"

    @property
    def process(self):
        if Session.made:
            Session.made.close(keep=False)
        return None


main(
    {
        "A18": start,
        "A19": step("database", "dataset"),
        "A20": step("make_charts", "dashboard", "refresh", "sql_lab"),
    },
    [Ends()],
)
