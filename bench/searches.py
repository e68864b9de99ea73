"""The parts of the comparison that search: recall and cost over ef_search,
planning, memory of a backend, and too small shared buffers.

The systems take turns, block by block of queries, so that a busy moment of the
machine is both's.  Of several runs the one with the least CPU time counts: what
else happens on a machine only ever adds.
"""
from __future__ import annotations

import statistics

import numpy as np

import vxdb
from clients import Client, Cost, clients, turns, warm
from exact import Judge
from server import Server
from terminal import Progress

BLOCK = 50
PAGE_QUERIES = 100
PLANS = 200
# A list of points ends where nothing asks for more.
ENOUGH_RECALL = 0.995
MEMORY_QUERIES = 10_000


def spread(runs: list[Cost]) -> float:
    """The most CPU time of a run, as a multiple of the least."""
    return max(r.cpu for r in runs) / min(r.cpu for r in runs)


def pages(client: Client, queries: np.ndarray) -> dict:
    """Buffers the index scan touches (its table rows' included), per query."""
    hit = read = 0
    for query in queries:
        node = client.explain(query)["Scan"]
        hit += node["Shared Hit Blocks"]
        read += node["Shared Read Blocks"]
    return {"pages": (hit + read) / len(queries), "pages_read": read / len(queries)}


def timed(systems: list[Client], queries: np.ndarray, turn: int = 0) -> tuple[dict[str, Cost], dict[str, list]]:
    """Ask all queries once, in turns; what each system spent and found."""
    spent = {c.system: Cost() for c in systems}
    found: dict[str, list[list[int]]] = {c.system: [] for c in systems}
    for start in range(0, len(queries), BLOCK):
        for client in turns(systems, turn):
            with client.measured() as cost:
                ids = client.ask(queries[start:start + BLOCK])
            spent[client.system] += cost
            found[client.system] += ids
        turn += 1
    return spent, found


def search(systems: list[Client], judge: Judge, efs: list[int], needed: list[int], repeats: int) -> dict[str, list]:
    """A point for each ef_search: recall, cost per query, pages per query.

    A system that is near enough to 1 skips the larger values that are not
    needed.  A run goes through all values before the next one begins, so that
    a busy minute of the machine spoils one run of a point and not all.
    """
    queries = judge.queries
    points: dict[str, list] = {c.system: [] for c in systems}
    runs: dict[tuple[str, int], list[Cost]] = {}
    progress = Progress("search")
    for client in systems:
        warm(client, queries)
    for repeat in range(repeats):
        for step, ef in enumerate(efs):
            if repeat == 0:
                todo = [c for c in systems if ef in needed or not points[c.system]
                        or points[c.system][-1]["recall"] < ENOUGH_RECALL]
            else:
                todo = [c for c in systems if (c.system, ef) in runs]
            for client in todo:
                client.set_ef(ef)
                client.ask(queries[:20])
            spent, found = timed(todo, queries, repeat)
            for client in todo:
                runs.setdefault((client.system, ef), []).append(spent[client.system])
                if repeat == 0:
                    points[client.system].append({"ef": ef, "recall": judge.recall(found[client.system]),
                                                  **pages(client, queries[:PAGE_QUERIES])})
            progress.update(repeat * len(efs) + step + 1, repeats * len(efs), f"ef_search {ef}")
    progress.finish(repeats * len(efs), "values of ef_search and runs")
    for system, all_points in points.items():
        for point in all_points:
            costs = runs[system, point["ef"]]
            point |= {"cpu_us": min(c.cpu for c in costs) / len(queries) * 1e6,
                      "queries_per_s": len(queries) / min(c.wall for c in costs),
                      "spread": spread(costs)}
    return points


def planning(systems: list[Client], queries: np.ndarray, ef: int, repeats: int) -> dict[str, dict]:
    """What planning costs, of a statement planned each time and of a prepared one."""
    result: dict[str, dict] = {c.system: {} for c in systems}
    prepared: dict[str, list[float]] = {}
    unprepared: dict[str, list[float]] = {}
    for client in systems:
        client.set_ef(ef)
        client.ask(queries[:20])
        literal = "[" + ",".join("0.5" for _ in queries[0]) + "]"
        client.conn.execute(f"PREPARE again({vxdb.TYPE}) AS {client.sql.replace('%b', '$1')}")
        again = [client.one(f"EXPLAIN (SUMMARY, FORMAT JSON) EXECUTE again('{literal}')")[0]["Planning Time"]
                 for _ in range(PLANS)]
        empty = [client.one("EXPLAIN (SUMMARY, FORMAT JSON) EXECUTE again(NULL)")[0]["Planning Time"]
                 for _ in range(PLANS)]
        each = [client.explain(q, "SUMMARY")["Planning Time"] for q in queries[:PLANS]]
        result[client.system] = {
            "ef": ef,
            "planning_us": statistics.median(each) * 1e3,
            "prepared_planning_us": statistics.median(empty) * 1e3,
            "prepared_text_us": statistics.median(again) * 1e3,
        }
        prepared[client.system], unprepared[client.system] = [], []
    for repeat in range(repeats):
        for turn, start in enumerate(range(0, len(queries), BLOCK)):
            for client in turns(systems, turn + repeat):
                block = queries[start:start + BLOCK]
                for runs, prepare in ((prepared, True), (unprepared, False)):
                    with client.measured() as cost:
                        client.ask(block, prepare)
                    runs[client.system].append(cost.cpu / len(block) * 1e6)
    for client in systems:
        result[client.system] |= {"prepared_cpu_us": statistics.median(prepared[client.system]),
                                  "unprepared_cpu_us": statistics.median(unprepared[client.system])}
    return result


def memory(server: Server, metric: str, queries: np.ndarray, ef: int, count: int = MEMORY_QUERIES) -> dict[str, dict]:
    """What a backend holds after few and after many queries, in bytes."""
    result = {}
    progress = Progress("memory")
    with clients(server, metric) as systems:
        for number, client in enumerate(systems):
            client.set_ef(ef)
            held: dict[str, int] = {}
            done = 0
            for when, until in (("few", 100), ("many", count)):
                while done < until:
                    block = queries[:min(len(queries), until - done)]
                    client.ask(block)
                    done += len(block)
                    progress.update(number * count + done, len(systems) * count, client.system)
                held |= {f"contexts_{when}": client.context_bytes(),
                         f"private_{when}": client.memory("RssAnon"),
                         f"resident_{when}": client.memory("VmRSS")}
            result[client.system] = held | {"ef": ef, "queries": count}
    progress.finish(len(result) * count, "queries")
    return result


def small_buffers(server: Server, judge: Judge, efs: dict[str, int], index_bytes: dict[str, int],
                  repeats: int) -> dict[str, dict]:
    """Searches with shared buffers of a quarter of the smaller index; restarts the server."""
    size = max(1024, min(index_bytes.values()) // 4 // 1024)
    server.restart({"shared_buffers": f"{size}kB"})
    queries = judge.queries
    result = {}
    with clients(server, judge.metric) as systems:
        for client in systems:
            client.set_ef(efs[client.system])
            client.ask(queries)
        runs = [timed(systems, queries, repeat) for repeat in range(repeats)]
        found = runs[0][1]
        for client in systems:
            # After the other's queries its own pages are no longer there.
            client.ask(queries)
            costs = [spent[client.system] for spent, _ in runs]
            result[client.system] = {
                "ef": efs[client.system],
                "shared_buffers": size * 1024,
                "index_share": size * 1024 / index_bytes[client.system],
                "recall": judge.recall(found[client.system]),
                "cpu_us": min(c.cpu for c in costs) / len(queries) * 1e6,
                "wall_us": min(c.wall for c in costs) / len(queries) * 1e6,
                "spread": spread(costs),
                **pages(client, queries[:PAGE_QUERIES]),
            }
    return result
