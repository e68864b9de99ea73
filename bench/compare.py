#!/usr/bin/env python3
"""vectorx and pgvector side by side in one throw-away server.

Loads base vectors and queries, builds an index of default options in each
system, and measures searches, the build, inserts, planning and memory; hnswlib
and faiss run beside them as a reference.  Prints tables, and writes into the
folder of --output

    results/NAME.json   all raw figures of a set
    plots/NAME.png      recall against speed
    RESULTS.md          tables and targets of all sets in results/

Known sets are looked for in the folder --data, VECTORX_DATA, or ../shared/data
beside the repository; others are named with --base and --queries (.npy, .fbin,
.fvecs, or an ann-benchmarks .hdf5, which holds both).

    bench/compare.py                             everything, half an hour or more
    bench/compare.py --set glove100 --rows 10000 --steps build,search
    bench/compare.py --name sift --base sift.hdf5
    bench/compare.py --steps build,beyond --add  only these; what results/ has of others stays
    bench/compare.py --type halfvec              columns of halfvec; vectors are rounded to halves
    bench/compare.py --type bit --metric jaccard columns of bit: binary_quantize of the vectors; else hamming
    bench/compare.py --type sparsevec --metric ip
                                                 the sets of sparse vectors; else cosine
    bench/compare.py --metric l1                 the sets by another distance than their own
    bench/compare.py --report                    RESULTS.md and plots anew
    bench/compare.py --steps build,search --skip 0 --with "sketch_bits = 2" --output FOLDER
                                                 other index options of vectorx
    bench/compare.py quick                       a few minutes, two small sets; fails only on low recall
    bench/compare.py million                     a million synthetic vectors; 24 GiB of memory are plenty
    bench/compare.py million --peer              pgvector as well, with the same memory: much longer
    bench/compare.py million --rows 100000 --output FOLDER

The million vectors are of 128 dimensions, from 1,000 Gaussian clusters that differ in
size and in spread; queries are from the same clusters and not in the table.  The index
is built by the leader and one worker, with as much maintenance_work_mem as
hnsw_build_memory says.

Defaults of vectorx were chosen with queries 0 to 499 of each set; this runs
500 to 999, for figures that are published.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg

import builds
import datasets
import inserts
import loading
import plots
import report
import searches
import server
import vxdb
from clients import Client, check, clients, load
from exact import Judge
from reference import reference
from terminal import processor, today

BENCH = Path(__file__).resolve().parent
EF_SEARCH = "10,20,30,40,60,80,100,150,200,300,400,600,800"
# The set of sparse vectors, as sparse.py calls it.
SPARSE = "tfidf30k"
STEPS = ("build", "search", "planning", "memory", "insert", "concurrent", "small_buffers", "beyond",
         "loading", "reference")
# Steps of types that not all others know of.
OTHER_STEPS = ("build", "search")
PLANNING_EF = 40

QUICK_QUERIES = 200
QUICK_INSERTED = 500
QUICK_REPEATS = 2
QUICK_EF = (10, 20, *report.SAME_EF)
QUICK_SEED = 1
# Four wrong neighbours of 2,000; what differs beyond is chance, for building is random.
AS_GOOD_AS_EXACT = 0.998

MILLION_DIM = 128
CLUSTERS = 1_000
MILLION_METRIC = "l2"
# Of the distance between centres; the middle one of all clusters.
SPREAD = 0.5
BATCH_ROWS = 100_000
MEGABYTE = 1 << 20


@dataclass
class Set:
    """Files and distance of a data set."""

    name: str
    base: Path
    queries: Path
    metric: str
    dim: int | None = None

    @property
    def sparse(self) -> bool:
        return self.base.suffix == ".npz"


def known_sets(folder: Path) -> dict[str, Set]:
    sparse = folder if (folder / f"{SPARSE}.base.npz").exists() else BENCH / "data"
    return {s.name: s for s in (
        Set("glove100", folder / "glove100.base.npy", folder / "glove100.queries.npy", "cosine", 100),
        Set("minilm384", folder / "minilm1536.base.npy", folder / "minilm1536.queries.npy", "cosine", 384),
        Set("minilm1536", folder / "minilm1536.base.npy", folder / "minilm1536.queries.npy", "cosine", 1536),
        Set(SPARSE, sparse / f"{SPARSE}.base.npz", sparse / f"{SPARSE}.queries.npz", "cosine"))}


def data_folder(given: str | None) -> Path:
    return Path(given or os.environ.get("VECTORX_DATA") or BENCH.parent.parent / "shared" / "data")


def chosen_sets(args: argparse.Namespace) -> list[Set]:
    if args.base:
        base = Path(args.base)
        if not args.queries and base.suffix not in datasets.HDF5:
            raise SystemExit("--base without --queries needs an HDF5 file, which holds both")
        metric = args.metric or datasets.hdf5_metric(base) or "l2"
        return [Set(args.name or base.name.split(".")[0], base, Path(args.queries or base), metric, args.dim)]
    known = known_sets(data_folder(args.data))
    names = (args.set or (SPARSE if args.type == "sparsevec" else ",".join(report.ORDER))).split(",")
    for name in names:
        if name not in known:
            raise SystemExit(f"no set {name}; known are {', '.join(known)}")
        for path in (known[name].base, known[name].queries):
            if not path.exists():
                raise SystemExit(f"set {name}: there is no file {path}"
                                 + (" (bench/sparse.py makes it)" if known[name].sparse else ""))
    return [known[name] for name in names]


def metric_of(one: Set, args: argparse.Namespace) -> str:
    """What is asked for, else the set's own, else the first that the type has."""
    allowed = vxdb.METRICS[args.type]
    metric = args.metric or (one.metric if one.metric in allowed else allowed[0])
    if metric not in allowed:
        raise SystemExit(f"--metric: {args.type} has no distance {metric}, but {', '.join(allowed)}")
    return metric


def as_type(name: str, vectors: vxdb.Rows) -> vxdb.Rows:
    """The vectors as columns of the type hold them; binary_quantize sets the bits of positive elements."""
    if name == "halfvec":
        return vectors.astype(np.float16).astype(np.float32)
    return vectors > 0 if name == "bit" else vectors


# ---- conditions

def simd_level(client: Client) -> str:
    """The best instruction set vectorx accepts here, which is what it uses."""
    client.one("SELECT vector_dims('[1]'::vector)")     # before the library is loaded any value is taken
    for level in ("avx512", "avx2", "neon"):
        try:
            client.conn.execute(f"SET vectorx.simd = {level}")
        except psycopg.Error:
            continue
        client.conn.execute("RESET vectorx.simd")
        return level
    return "generic"


def machine(client: Client) -> dict[str, str]:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    kernel = ".".join(platform.release().split(".")[:2])
    return {"processor": processor(), "cores": str(os.cpu_count()), "SIMD level of vectorx": simd_level(client),
            "memory": f"{pages * size / 2**30:.0f} GiB", "system": f"{platform.system()} {kernel}"}


def commit() -> str:
    """The tree's commit, and whether anything differs from it; empty where there is no git."""
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(BENCH.parent), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "src", "simd", "sql", "Makefile")
        return f" (commit {git('rev-parse', '--short=10', 'HEAD')}{', changed' if changed else ''})"
    except (OSError, subprocess.CalledProcessError):
        return ""


def compiler() -> str:
    done = subprocess.run([os.environ.get("CC") or "clang", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.split("\n", 1)[0] or "unknown"


def versions(systems: list[Client]) -> dict[str, str]:
    by_name = {c.system: c.one(f"SELECT extversion FROM pg_extension WHERE extname = '{server.SYSTEMS[c.system]}'")
               for c in systems}
    if "vectorx" in by_name:
        by_name["vectorx"] += commit()
    if "pgvector" in by_name:
        by_name["pgvector"] += f" ({server.peer_build()})"
    return {**by_name, "built with": compiler(),
            "PostgreSQL": systems[0].one("SHOW server_version"), "Python": platform.python_version(),
            "psycopg": psycopg.__version__, "NumPy": np.__version__}


def shown_settings(here: server.Server) -> dict[str, object]:
    """The server's settings, but for where it listens."""
    return {name: value for name, value in here.settings.items()
            if name not in ("listen_addresses", "unix_socket_directories", "port")}


def index_settings(args: argparse.Namespace) -> dict[str, object]:
    return {"m": 16, "ef_construction": 64, "runs": args.repeat} | (
        {"vectorx's indexes": f"WITH ({args.options})"} if args.options else {})


def command(program: str) -> str:
    """This command without the folders of this machine."""
    words = [program]
    for word, before in zip(sys.argv[1:], sys.argv):
        if before not in ("--data", "--output") and not word.startswith(("--data", "--output")):
            words.append(shlex.quote(Path(word).name if os.sep in word else word))
    return " ".join(words)


# ---- one set

def step(name: str, what: str) -> None:
    print(f"\n== {name}: {what}", flush=True)


def run_set(one: Set, args: argparse.Namespace) -> dict:
    """Every step of one set, on a server of its own."""
    steps = args.steps.split(",")
    metric = metric_of(one, args)
    if one.sparse != (args.type == "sparsevec"):
        raise SystemExit(f"set {one.name} holds {'sparse' if one.sparse else 'dense'} vectors: none for --type {args.type}")
    base = datasets.load(one.base, args.rows, one.dim)
    queries = datasets.load(one.queries, args.count, one.dim, args.skip, part="test")
    if len(queries) < args.count:
        raise SystemExit(f"set {one.name} has only {len(queries)} queries from number {args.skip} on, not {args.count}:"
                         " choose with --skip and --count")
    available = len(datasets.open_rows(one.base, "train"))
    base, queries = as_type(args.type, base), as_type(args.type, queries)
    step(one.name, f"exact neighbours of {len(queries)} queries among {len(base):,} rows")
    judge = Judge(metric, queries, base)
    efs = sorted({int(ef) for ef in args.ef.split(",")} | set(report.SAME_EF))
    result: dict = {
        "set": {"name": one.name, "label": report.label(one.name, args.type, metric, one.metric), "rows": len(base),
                "rows_available": available, "dim": base.shape[1], "metric": metric, "type": args.type,
                "queries": f"queries {args.skip} to {args.skip + len(queries) - 1}"},
        "date": today(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "command": command("bench/compare.py"),
    }
    with server.start({"shared_buffers": args.shared_buffers}) as here:
        with clients(here, metric) as systems:
            result["machine"] = machine(systems[0])
            result["versions"] = versions(systems)
            result["settings"] = shown_settings(here) | index_settings(args)
            if "build" in steps:
                step(one.name, "build")
                for client in systems:
                    load(client, base)
                result |= builds.in_turns(here, systems, judge, args.build_repeat)
                if args.type == "halfvec":
                    result["as_vector"] = builds.as_vector(systems[0], metric, base.shape[1])
            if "search" in steps:
                step(one.name, "search")
                result["search"] = searches.search(systems, judge, efs, list(report.SAME_EF), args.repeat)
            if "planning" in steps:
                step(one.name, "planning")
                result["planning"] = searches.planning(systems, queries, PLANNING_EF, args.repeat)
        if "memory" in steps:
            step(one.name, "memory of a backend")
            result["memory"] = searches.memory(here, metric, queries, PLANNING_EF)
        if "insert" in steps or "concurrent" in steps:
            step(one.name, f"inserts: index on all but {args.insert_rows:,} rows")
            here.configure({"full_page_writes": "off"})
            here.control("reload")
            result["build_before_inserts"] = inserts.make_templates(here, judge, args.insert_rows)
            if "insert" in steps:
                result["insert"] = inserts.one_client(here, judge, args.insert_rows, args.insert_repeat)
            if "concurrent" in steps:
                result["concurrent"] = inserts.several_clients(here, judge, args.insert_rows, args.insert_repeat)
        if "small_buffers" in steps:
            step(one.name, "search with small shared buffers")
            wanted = {s: report.at_recall(result["search"][s], report.RECALLS[0], "ef") for s in server.SYSTEMS}
            result["small_buffers"] = searches.small_buffers(
                here, judge, {s: round(w[0]) if w else efs[-1] for s, w in wanted.items()},
                {s: b["index_bytes"] for s, b in result["build"].items()}, args.repeat)
        if "beyond" in steps:
            step(one.name, "builds with a quarter of the memory")
            result["beyond"] = builds.beyond(here, judge, args.shared_buffers,
                                             {s: b["index_bytes"] for s, b in result["build"].items()},
                                             [s for s in server.SYSTEMS if s == "vectorx" or not args.quick_peer])
        if "loading" in steps:
            step(one.name, "loading")
            result["loading"] = loading.loading(here, judge, {"shared_buffers": args.shared_buffers,
                                                              "full_page_writes": "on"},
                                                args.repeat, not args.quick_peer)
    if "reference" in steps:
        step(one.name, "libraries in memory")
        result["reference"] = reference(judge, efs, args.repeat)
    return result


# ---- quick

def quick_sets() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, base vectors and queries of what is there."""
    _, words = vxdb.load_words()
    words = words[np.random.default_rng(QUICK_SEED).permutation(len(words))[:10_000 + QUICK_QUERIES]]
    result = [("words, 100 dimensions", words[QUICK_QUERIES:], words[:QUICK_QUERIES])]
    large = known_sets(data_folder(None))["minilm384"]
    if large.base.exists() and large.queries.exists():
        result.append(("minilm, 384 dimensions", datasets.load(large.base, 8_000, 384),
                       datasets.load(large.queries, QUICK_QUERIES, 384)))
    else:
        print("not run: quick benchmark with 384 dimensions: there is no minilm1536 in VECTORX_DATA or ../shared/data")
    return result


def with_worker(here: server.Server, client: Client, judge: Judge) -> dict:
    """vectorx's index built by the leader and a worker: recall at each of report.SAME_EF."""
    result = builds.build(here, client, judge.metric, len(judge.rows), workers=1)
    check(client)
    recall = {}
    for ef in report.SAME_EF:
        client.set_ef(ef)
        recall[ef] = judge.recall(client.ask(judge.queries))
    return result | {"recall": recall}


def quick_run(base: np.ndarray, queries: np.ndarray) -> dict:
    judge = Judge("cosine", queries, base)
    run: dict = {"build": {}}
    with server.start({"shared_buffers": "256MB", "full_page_writes": "off"}) as here:
        with clients(here, judge.metric) as systems:
            for client in systems:
                load(client, base)
                run["build"][client.system] = builds.build(here, client, judge.metric, len(base))
                check(client)
            run["search"] = searches.search(systems, judge, sorted(QUICK_EF), list(QUICK_EF), QUICK_REPEATS)
            run["with_worker"] = with_worker(here, systems[0], judge)
        inserts.make_templates(here, judge, QUICK_INSERTED)
        run["insert"] = inserts.one_client(here, judge, QUICK_INSERTED, 1)
    return run


def quick_ratios(run: dict) -> list[str]:
    figures = [
        ("search CPU at recall .95, times less", report.cost_ratio(run, 0.95, "cpu_us")),
        ("search CPU at recall .99, times less", report.cost_ratio(run, 0.99, "cpu_us")),
        ("pages at recall .95, times less", report.cost_ratio(run, 0.95, "pages")),
        ("build CPU, times less", report.ratio(run, "build", "cpu_s", "less")),
        ("rows inserted per CPU second, times", report.ratio(run, "insert", "rows_per_cpu_s", "more")),
        ("index size, times pgvector's", report.ratio(run, "build", "index_bytes", "size")),
        ("WAL per inserted row, times pgvector's", report.ratio(run, "insert", "wal_bytes", "size")),
    ]
    return report.table(["vectorx against pgvector", "ratio"],
                 [(name, f"{r[1]}{r[0]:.1f}" if r else "not reached") for name, r in figures])


def at_least(what: str, ours: float, theirs: float) -> bool:
    good = ours >= min(theirs, AS_GOOD_AS_EXACT)
    print(f"{'ok' if good else 'not ok'} - {what}: recall@10 {ours:.4f}, pgvector {theirs:.4f}")
    return good


def quick() -> None:
    """A few minutes, two small sets, for every test run.

    Prints how the systems compare; fails only when vectorx's recall falls below
    pgvector's at the same ef_search (from AS_GOOD_AS_EXACT on nothing is asked), for
    times on a busy machine prove nothing.  Each check is a line "ok" or "not ok";
    what cannot run says "not run".
    """
    good = True
    try:
        for name, base, queries in quick_sets():
            print(f"\n{name}: {len(base):,} rows, {len(queries)} queries, cosine", flush=True)
            run = quick_run(base, queries)
            print("\n" + "\n".join(quick_ratios(run)))
            for ours, theirs in zip(run["search"]["vectorx"], run["search"]["pgvector"]):
                if ours["ef"] in report.SAME_EF:
                    good &= at_least(f"{name}, built, ef_search {ours['ef']}", ours["recall"], theirs["recall"])
                    good &= at_least(f"{name}, built with {run['with_worker']['workers']} workers, ef_search {ours['ef']}",
                                     run["with_worker"]["recall"][ours["ef"]], theirs["recall"])
            ours, theirs = run["insert"]["vectorx"], run["insert"]["pgvector"]
            good &= at_least(f"{name}, after inserts, ef_search {ours['recall_ef']}", ours["recall_after"],
                             theirs["recall_after"])
    except server.Unavailable as e:
        print(f"not run: quick benchmark: {e}")
        return
    sys.exit(0 if good else 1)


# ---- a million

def clustered(rows: int, dim: int, clusters: int, seed: int) -> np.ndarray:
    """Vectors drawn from a mixture of Gaussians of different weights and widths; the first n do not depend on rows."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(clusters))
    centres = rng.standard_normal((clusters, dim), np.float32)
    spread = (SPREAD * rng.lognormal(0, 0.5, clusters)).astype(np.float32)
    result = np.empty((rows, dim), np.float32)
    for start in range(0, rows, BATCH_ROWS):
        # Whole batches are drawn, so that a smaller table is the beginning of a larger one.
        of = rng.choice(clusters, BATCH_ROWS, p=weights)
        batch = centres[of] + spread[of, None] * rng.standard_normal((BATCH_ROWS, dim), np.float32)
        result[start:start + BATCH_ROWS] = batch[:rows - start]
    return result


def million_run(args: argparse.Namespace) -> dict:
    step("million", f"{args.rows:,} vectors, exact neighbours of {args.count} queries")
    vectors = clustered(args.count + args.rows, MILLION_DIM, CLUSTERS, args.seed)
    judge = Judge(MILLION_METRIC, vectors[:args.count], vectors[args.count:])
    efs = sorted({int(ef) for ef in args.ef.split(",")})
    result: dict = {
        "kind": report.MILLION,
        "set": {"name": report.MILLION, "rows": args.rows, "rows_available": args.rows, "dim": MILLION_DIM, "metric": MILLION_METRIC,
                "queries": f"{args.count} queries from the same {CLUSTERS:,} clusters, seed {args.seed}"},
        "date": today(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "command": command("bench/compare.py"),
        "build": {},
        "search": {},
    }
    names = [system for system in server.SYSTEMS if args.peer or system == "vectorx"]
    with server.start({"shared_buffers": args.shared_buffers}) as here:
        # A margin for what it says within a few per cent.
        megabytes = builds.build_memory(here, args.rows, MILLION_DIM) * 1.05 // MEGABYTE + 1
        here.configure({"maintenance_work_mem": f"{megabytes:.0f}MB"})
        here.control("reload")
        result["settings"] = shown_settings(here) | index_settings(args)
        for system in names:
            client = Client(here, system, MILLION_METRIC)
            try:
                if system == "vectorx":
                    result["machine"] = machine(client)
                    result["versions"] = versions([client])
                else:
                    result["versions"] |= versions([client])
                step("million", f"build, {system}")
                load(client, judge.rows)
                client.conn.execute("VACUUM items")
                result["build"][system] = builds.build_and_ask(here, system, judge, args.workers)
                step("million", f"search, {system}")
                result["search"] |= searches.search([client], judge, efs, efs, args.repeat)
            finally:
                client.close()
    return result


def million(args: argparse.Namespace) -> None:
    result = million_run(args)
    print("\n" + "\n".join(report.set_section(result)), flush=True)
    keep(args, report.MILLION, result)


# ---- all

def write_report(output: Path) -> None:
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((output / "results").glob("*.json"))]
    if not runs:
        raise SystemExit(f"there are no results in {output / 'results'}")
    for run in runs:
        if "search" in run and run.get("kind") != report.MILLION:
            problem = plots.recall_and_speed(output / "plots" / f"{report.label_of(run)}.png", report.set_title(run), report.curves(run))
            if problem:
                print(problem)
    report.write_results(output / "RESULTS.md", runs)


def keep(args: argparse.Namespace, name: str, result: dict) -> None:
    path = Path(args.output) / "results" / f"{name}.json"
    if args.add:
        result = report.added(json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}, result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="sets", choices=("sets", "quick", "million"), help="default: sets")
    parser.add_argument("--set", help=f"known sets, with commas (default: {', '.join(report.ORDER)}; of sparsevec: {SPARSE})")
    parser.add_argument("--data", help="the folder of the known sets")
    parser.add_argument("--base", help="a file of base vectors")
    parser.add_argument("--queries", help="a file of queries")
    parser.add_argument("--name", help="what to call the set of --base")
    parser.add_argument("--metric", choices=[*vxdb.OPERATORS, *vxdb.BIT_OPERATORS],
                        help="the distance (default: the set's; of --base: what HDF5 says, or l2; of bit: hamming)")
    parser.add_argument("--type", choices=vxdb.METRICS, default="vector", help="type of the columns (default: vector)")
    parser.add_argument("--dim", type=int, help="use its first DIM columns")
    parser.add_argument("--rows", type=int, help="use the first ROWS base vectors")
    parser.add_argument("--skip", type=int, default=500, help="queries to skip (default: 500)")
    parser.add_argument("--count", type=int, default=500, help="queries to run (default: 500)")
    parser.add_argument("--ef", default=EF_SEARCH, help="values of ef_search, with commas")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each search (default: 3)")
    parser.add_argument("--build-repeat", type=int, default=2, help="runs of each build (default: 2)")
    parser.add_argument("--insert-rows", type=int, default=3000, help="rows to insert (default: 3000)")
    parser.add_argument("--insert-repeat", type=int, default=2, help="runs of the inserts (default: 2)")
    parser.add_argument("--shared-buffers", default="2GB", help="of the server (default: 2GB)")
    parser.add_argument("--steps", help="with commas (default: all; of bit and sparsevec: all that they have)")
    parser.add_argument("--output", default=str(BENCH), help="folder for results (default: bench)")
    parser.add_argument("--add", action="store_true", help="keep the last results of the steps that are not run now")
    parser.add_argument("--quick-peer", action="store_true",
                        help="leave out what takes pgvector minutes: builds beyond memory, an index filled by COPY")
    parser.add_argument("--with", dest="options", default="", help="options of vectorx's indexes")
    parser.add_argument("--seed", type=int, default=1, help="million: of the vectors (default: 1)")
    parser.add_argument("--workers", type=int, default=1, help="million: beside the leader (default: 1)")
    parser.add_argument("--peer", action="store_true", help="million: measure pgvector as well")
    parser.add_argument("--report", action="store_true", help="measure nothing: write RESULTS.md and plots anew")
    if parser.parse_known_args()[0].what == "million":
        parser.set_defaults(rows=1_000_000, ef="40,100,200", shared_buffers="4GB")
    args = parser.parse_args()
    known = STEPS if args.type in vxdb.ELEMENTS else OTHER_STEPS
    args.steps = args.steps or ",".join(known)
    steps = set(args.steps.split(","))
    if steps - set(known):
        parser.error(f"no such step of columns of {args.type}: {', '.join(sorted(steps - set(known)))}")
    if "build" not in steps and steps != {"loading"}:
        parser.error("every run begins with the step build, but for one of the step loading alone")
    for needing, needed in (("small_buffers", "search"), ):
        if needing in steps and needed not in steps:
            parser.error(f"the step {needing} needs {needed}")
    if not 0 < args.insert_rows or args.rows is not None and args.insert_rows >= args.rows:
        parser.error("--insert-rows has to be less than the number of rows")
    return args


def main() -> None:
    args = arguments()
    server.stop_on_signal()
    builds.OPTIONS["vectorx"] = args.options
    vxdb.use_type(args.type)
    if args.what == "quick":
        quick()
        return
    try:
        if args.what == "million":
            million(args)
        elif not args.report:
            for one in chosen_sets(args):
                result = run_set(one, args)
                print("\n" + "\n".join([*report.target_table(result), *report.set_section(result)]), flush=True)
                keep(args, report.label_of(result), result)
    except server.Unavailable as e:
        raise SystemExit(f"not run: {e}") from None
    except datasets.BadFile as e:
        raise SystemExit(str(e)) from None
    write_report(Path(args.output))


if __name__ == "__main__":
    main()
