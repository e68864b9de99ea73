"""Pictures of what was measured: recall against speed, searches with WHERE, mixed load (matplotlib).

Each function writes one PNG.  They return why there is none, if there is none: the package is not installed everywhere.
"""
from __future__ import annotations

import functools
from pathlib import Path
from statistics import mean
from typing import Any, Callable

# The axis is logarithmic in what is missed, or all that matters would be at its end.
RECALL = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
STYLES = {
    "vectorx": ("#1f5fbf", "-", "o"),
    "pgvector": ("#d9622b", "-", "s"),
    "hnswlib": ("#777777", "--", "^"),
    "faiss HNSW, flat": ("#999999", ":", "v"),
    "faiss HNSW, SQ8": ("#555555", "-.", "d"),
}
LIES = {"random": "-", "near": "--", "far": ":"}
NOT_RUN = "plots: not run: the package matplotlib is not installed"


def library() -> tuple[Any, Any] | None:
    """pyplot and ticker, for files; None where they are not installed."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot, ticker
    except ImportError:
        return None
    return pyplot, ticker


def picture(count: int) -> Callable[[Callable[[Any, list[Any], Any], None]], Callable[[Path, str, Any], str | None]]:
    """Makes of a function that draws data on a row of so many diagrams one that writes them to a file, with a title."""
    def writer(draw: Callable[[Any, list[Any], Any], None]) -> Callable[[Path, str, Any], str | None]:
        @functools.wraps(draw)
        def write(path: Path, title: str, data: Any) -> str | None:
            found = library()
            if found is None:
                return NOT_RUN
            pyplot, ticker = found
            figure, axes = pyplot.subplots(1, count, figsize=(5.5 * count, 4.2), constrained_layout=True)
            draw(ticker, list(axes), data)
            for each in axes:
                each.grid(True, which="both", linewidth=0.3, alpha=0.6)
                each.spines[["top", "right"]].set_visible(False)
            figure.suptitle(title, fontsize=11)
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=110, metadata={"Software": None})
            pyplot.close(figure)
            return None
        return write
    return writer


def style(name: str, **other: Any) -> dict[str, Any]:
    colour, line, mark = STYLES[name]
    return {"color": colour, "linestyle": line, "marker": mark, "markersize": 4, "linewidth": 1.6, "label": name} | other


def logarithmic(ticker: Any, axes: Any) -> None:
    """A y axis in steps of 1, 2, 5, with numbers as people write them."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


@picture(2)
def recall_and_speed(ticker: Any, all_axes: list[Any], curves: dict[str, list[dict]]) -> None:
    """Points of each system (recall, cpu_us, perhaps queries_per_s): speed over recall."""
    by_clock, by_cpu = all_axes
    for name, points in curves.items():
        missed = [max(1 - p["recall"], 1 - RECALL[-1]) for p in points]
        if "queries_per_s" in points[0]:
            by_clock.plot(missed, [p["queries_per_s"] for p in points], **style(name))
        by_cpu.plot(missed, [1e6 / p["cpu_us"] for p in points], **style(name))
    for axes, what in ((by_clock, "queries/s, one client"), (by_cpu, "queries per CPU second")):
        logarithmic(ticker, axes)
        axes.set_xscale("log")
        axes.set_xlim(1 - RECALL[0], (1 - RECALL[-1]) / 1.2)
        axes.set_xticks([1 - r for r in RECALL], [f"{r:g}" for r in RECALL[:-1]] + [f"{RECALL[-1]:g}+"])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("recall@10")
        axes.set_title(what, fontsize=10)
        axes.legend(fontsize=8, frameon=False, loc="lower left")


@picture(2)
def filters(ticker: Any, all_axes: list[Any], cells: dict[str, list[dict]]) -> None:
    """Cells of each system (bench/filters.py), of one LIMIT: CPU and recall over the share of rows that match."""
    cpu, recall = all_axes
    for system, all_cells in cells.items():
        for lie, line in LIES.items():
            # All rows match wherever they lie.
            points = sorted((c["share"], c["taken"], c["recall"]) for c in all_cells if c["lie"] == lie or c["share"] == 1)
            drawn = style(system, linestyle=line, label=f"{system}, {lie}")
            cpu.plot([p[0] for p in points], [p[1] for p in points], **drawn)
            recall.plot([p[0] for p in points], [p[2] for p in points], **drawn)
    logarithmic(ticker, cpu)
    for axes, what in ((cpu, "CPU us of a search"), (recall, "recall")):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        axes.set_xlabel("rows that match the condition")
        axes.set_title(what, fontsize=10)
    recall.legend(fontsize=8, frameon=False, loc="lower left", handlelength=3.5)


@picture(3)
def traffic(ticker: Any, all_axes: list[Any], runs: list[dict]) -> None:
    """Runs of market_traffic (bench/traffic.py): searches a second, their p99, and recall over the number of clients."""
    figures = (("searches/s", lambda r: r["searches_per_second"]), ("p99 of searches, ms", lambda r: r["latency_ms"]["search"]["p99"]),
               ("recall@10 meanwhile", lambda r: mean(r["recall"])))
    for axes, (what, figure) in zip(all_axes, figures):
        for system in dict.fromkeys(r["system"] for r in runs):
            own = [r for r in runs if r["system"] == system]
            axes.plot([r["clients"] for r in own], [figure(r) for r in own], **style(system))
        axes.set_xlabel("clients")
        axes.set_title(what, fontsize=10)
        axes.set_xticks(sorted({r["clients"] for r in runs}))
    for axes in all_axes[:2]:
        logarithmic(ticker, axes)
    all_axes[2].set_ylim(0.8, 1)
    all_axes[0].legend(fontsize=8, frameon=False, loc="lower right")
