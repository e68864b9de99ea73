"""The tables of bench/traffic.py: one set's, and the section of RESULTS.md."""
from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

import pgbench
import plots
import report
from report import table

BEGIN, END = "<!-- traffic:begin -->", "<!-- traffic:end -->"
ABOUT = """## Traffic

Clients of pgbench on the server's machine, each system in turn with equal time, autovacuum as it is by default. Queries
are drawn by a Zipf distribution. Latencies are from pgbench's log of every transaction. Recall is sampled while the
clients run, with queries that they do not ask, against an exact search in the same snapshot. CPU time is that of the
clients' backends.
"""
FOLDER = Path("results") / "traffic"
PLOTTED = "market_traffic"


def number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def quotient(over: float | None, under: float | None) -> str:
    return f"{over / under:.2f}" if over and under else "-"


def throughput(runs: list[dict]) -> list[str]:
    rows = [(f"{r['clients']} {r['system']}", number(r["searches_per_second"]),
             number(r["searches_per_second"] / r["clients"]), number(r["writes_per_second"]),
             number(r["cpu_us_per_transaction"]),
             f"{mean(r['recall']):.4f}" if r["recall"] else "-", f"{min(r['recall']):.4f}" if r["recall"] else "-",
             str(r["autovacuums"]), str(r["failed"])) for r in runs]
    return table(["clients", "searches/s", "of each client", "writes/s", "CPU us/transaction", "recall@10", "least",
                  "autovacuums", "failed"], rows)


def ratios(runs: list[dict]) -> list[str]:
    """vectorx's figures as multiples of pgvector's, where both have the same number of clients."""
    by_run = {(r["clients"], r["system"]): r for r in runs}
    rows = []
    for clients in dict.fromkeys(r["clients"] for r in runs):
        ours, theirs = (by_run.get((clients, system)) for system in ("vectorx", "pgvector"))
        if ours and theirs:
            p99 = [[r["latency_ms"].get(kind, {}).get("p99") for r in (ours, theirs)] for kind in ("search", "insert")]
            figures = [quotient(ours[key], theirs[key])
                       for key in ("searches_per_second", "writes_per_second", "cpu_us_per_transaction")]
            rows.append([str(clients), *figures, *[quotient(*pair) for pair in p99]])
    if not rows:
        return []
    return ["vectorx as a multiple of pgvector:", "",
            *table(["clients", "searches/s", "writes/s", "CPU/transaction", "p99 of searches", "p99 of inserts"], rows)]


def latencies(runs: list[dict], kinds: tuple[str, ...]) -> list[str]:
    names = [f"p{p:g}" for p in pgbench.PERCENTILES]
    rows = []
    for kind in kinds:
        for r in runs:
            found = r["latency_ms"].get(kind)
            if found:
                rows.append([f"{kind}, {r['clients']} {r['system']}", f"{found['count']:,}"]
                            + [number(found.get(n), 3) for n in names])
    return ["Latency in milliseconds:", "", *table(["statement, clients", "count", *names], rows)]


def title(s: dict) -> str:
    return f"Traffic, {s['data']}: {s['rows']:,} rows of {s['dimensions']:,} dimensions, cosine"


def set_section(result: dict) -> list[str]:
    """The lines about one set."""
    s = result["settings"]
    efs = ", ".join(f"{ef} ({system})" for system, ef in s["ef_search"].items())
    versions = ", ".join(f"{name} {version}" for name, version in s["versions"].items())
    options = f"; index options {s['options']}" if s["options"] else ""
    rate = f" at {s['rate']:g} transactions a second" if s["rate"] else ""
    lines = [f"### {title(s)}", "",
             f"{s['reserve']:,} more vectors in the reserve; {s['queries']:,} queries, Zipf exponent {s['skew']}; "
             f"{s['seconds']} s a run{rate}; ef_search {efs}{options}. {versions}; {s['processor']}, {s['processors']} "
             f"processors; {s['date']}.", "", f"Command: `{s['command']}`", ""]
    for script, kinds in pgbench.SCRIPTS.items():
        runs = [r for r in result["runs"] if r["script"] == script]
        if runs:
            parts = ", ".join(f"{kind} {s['mix'][kind]}" for kind in kinds)
            lines += [f"{script}{f' (parts: {parts})' if len(kinds) > 1 else ''}:", ""]
            if script == PLOTTED:
                lines += [f"![{title(s)}](plots/traffic-{s['data']}.png)", ""]
            lines += throughput(runs) + ratios(runs) + latencies(runs, kinds)
    return lines


def section(results: list[dict]) -> list[str]:
    """The lines about all sets, with the marks around them."""
    lines = [BEGIN, "", *ABOUT.splitlines(), ""]
    for result in results:
        lines += set_section(result)
    return lines + [END]


def keep(output: Path, result: dict) -> None:
    """Write a set's figures where write() finds them."""
    (output / FOLDER).mkdir(parents=True, exist_ok=True)
    path = output / FOLDER / f"{result['settings']['data']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def write(output: Path) -> None:
    """Draw all sets kept, and put the section about them into RESULTS.md."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((output / FOLDER).glob("*.json"))]
    if not results:
        raise SystemExit("there are no results of traffic in the folder --output")
    for result in results:
        s = result["settings"]
        runs = [r for r in result["runs"] if r["script"] == PLOTTED]
        problem = plots.traffic(output / "plots" / f"traffic-{s['data']}.png", title(s), runs) if runs else None
        if problem:
            print(problem)
    report.insert_section(output / "RESULTS.md", section(results))
