"""The figures of a run as a section of `benches/RESULTS.md`: what was measured, beside what is aimed at."""
import os
import pathlib
import subprocess
import time

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "RESULTS.md"


def section(out, version):
    """Markdown; only the parts that were run."""
    day = time.strftime("%Y-%m-%d")
    lines = [f"## Tables under a dashboard, {day}", "",
             f"`cargo xtask bench olap`, {version}, {os.cpu_count()} cores, {out['rows']:,} events, medians of {out['rounds']} interleaved "
             f"rounds, load average before {out['load_before']}. Answers were equal before anything was timed. Processor time in ms.", ""]
    if "seven" in out:
        lines += seven(out["seven"])
    lines += ["| figure | measured | aim |", "|---|---|---|"]
    for name, made in (("seven", figures_seven), ("rollup", figures_rollup), ("repeated", figures_repeated), ("segments", figures_segments),
                       ("groups", figures_groups), ("ingest", figures_ingest), ("disk", figures_disk), ("fresh", figures_fresh)):
        if name in out:
            lines += [f"| {' | '.join(row)} |" for row in made(out[name])]
    return "\n".join(lines) + "\n"


def seven(of):
    engines = ["yeoul", "duckdb-native", "duckdb-parquet", "chdb"]
    lines = [f"| question | {' | '.join(engines)} | ratio |", "|---|" + "---|" * (len(engines) + 1)]
    for name, took in of["cpu"].items():
        cells = [f"{took[engine]['cpu_ms']:.0f}" for engine in engines]
        lines.append(f"| {name} | {' | '.join(cells)} | {of['ratio'][name]} |")
    lines.append(f"| most resident memory, MB | {' | '.join(str(of['rss_mb'][engine]) for engine in engines)} | |")
    return [*lines, ""]


def figures_seven(of):
    yield "seven questions, geomean of (ours + 10 ms) / (better of DuckDB native and chdb + 10 ms)", str(of["geomean"]), "≤ 2"
    yield "the worst of them", str(of["worst"]), "≤ 5"


def figures_rollup(of):
    each = ", ".join(f"{name} {times}" for name, times in of["times_faster"].items())
    yield "rollup by minute against the best raw, times less processor time", f"{of['geomean_times_faster']} ({each})", "≥ 5"
    about = of["approximate_users"]
    errors = f"{about['mean_error'] * 100:.2f} % and {about['most_error'] * 100:.2f} %"
    yield "distinct users by HLL states: ms, mean and worst error of 25 regions", f"{about['cpu_ms']}, {errors}", "≤ 100, mean ≤ 1.6 %"


def figures_repeated(of):
    yield "the same question again, times less processor time", str(of["geomean_times_less"]), "≥ 5"


def figures_segments(of):
    grown = ", ".join(f"{name} {times}" for name, times in of["growth"].items())
    files = " → ".join(str(one["files of yeoul"]) for one in of["cpu_ms"].values())
    yield f"one hour out of 24 and of 2,400 hours ({of['rows_per_hour']:,} rows each; our files {files}), growth", grown, "≤ 1.3"


def figures_groups(of):
    cpu = ", ".join(f"{name} {ms}" for name, ms in of["cpu_ms"].items())
    yield "1.6 million groups with 512 MB: ms", cpu, "answered"
    yield "resident memory before and at most, MB", f"{of['rss_mb']['yeoul before']}, {of['rss_mb']['yeoul most']}", "≤ 512 more"


def figures_ingest(of):
    yield "JSON in the topic → sealed rows, MB per processor second", str(of["raw_mb_per_cpu_s"]), "–"
    yield "chdb's insert of the same JSON from a file, MB per processor second", str(of["chdb_mb_per_cpu_s"]), "–"
    if "rollup_mb_per_cpu_s" in of:
        yield "JSON in the topic → sealed rollup, MB per processor second", str(of["rollup_mb_per_cpu_s"]), "≥ 200"


def figures_disk(of):
    yield "bytes of the files without offsets / chdb's MergeTree", str(of["ratio_to_chdb"]), "≤ 1.3"
    yield "bytes of partition and offset for each row", str(of["origin_bytes_per_row"]), "≤ 4"


def figures_fresh(of):
    for rate, aim in (("10000", "≤ 50, ≤ 250"), ("20000", "p99 ≤ 500, ≤ a fifth of chdb's")):
        mine, theirs = of["yeoul"][rate], of["chdb kafka engine"][rate]
        yield (f"acknowledged → in an answer at {int(rate):,} records/s, p50 and p99 ms (chdb's Kafka engine)",
               f"{mine['p50_ms']}, {mine['p99_ms']} ({theirs['p50_ms']}, {theirs['p99_ms']})", aim)


def record(out, program):
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
    with open(RESULTS, "a", encoding="utf-8") as results:
        results.write("\n" + section(out, version))
