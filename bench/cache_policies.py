#!/usr/bin/env python3
"""Hit ratios of cache policies on Zipf traffic, with scans mixed in (docs/design/caching.md).

    bench/cache_policies.py [--keys 100000] [--requests 1000000] [--seed 1]

Each policy keeps a number of equal entries.  A scan is a run of keys that are asked for once.
"""
import argparse
import bisect
import itertools
import random
from collections import OrderedDict, deque


class Lru:
    def __init__(self, size: int):
        self.size, self.kept = size, OrderedDict()

    def ask(self, key: int) -> bool:
        hit = key in self.kept
        self.kept[key] = None
        self.kept.move_to_end(key)
        if len(self.kept) > self.size:
            self.kept.popitem(last=False)
        return hit


class S3Fifo:
    """As src/cache/table.c has it: a small queue of a tenth, a main one, ghosts."""

    def __init__(self, size: int):
        self.size, self.small_size = size, max(1, size // 10)
        self.small, self.main, self.hits = deque(), deque(), {}
        self.ghosts, self.ghosted = {}, 0

    def ask(self, key: int) -> bool:
        if key in self.hits:
            self.hits[key] = min(self.hits[key] + 1, 3)
            return True
        while len(self.small) + len(self.main) >= self.size:
            self.evict()
        at = self.ghosts.pop(key, None)
        (self.main if at is not None and self.ghosted - at <= len(self.main) else self.small).append(key)
        self.hits[key] = 0
        return False

    def evict(self) -> None:
        if self.small and (len(self.small) > self.small_size or not self.main):
            key = self.small.popleft()
            if self.hits[key] > 1:
                self.hits[key] = 0
                self.main.append(key)
                return
            self.ghosted += 1
            self.ghosts[key] = self.ghosted
            if len(self.ghosts) > 2 * self.size:
                oldest = self.ghosted - self.size
                self.ghosts = {k: at for k, at in self.ghosts.items() if at > oldest}
        else:
            key = self.main.popleft()
            if self.hits[key] > 0:
                self.hits[key] -= 1
                self.main.append(key)
                return
        del self.hits[key]


class WTinyLfu:
    """A window of 1 %, a segmented LRU (80 % protected), counts of the last ten sizes halved."""

    def __init__(self, size: int):
        self.window_size = max(1, size // 100)
        self.protected_size = (size - self.window_size) * 8 // 10
        self.size = size
        self.window, self.probation, self.protected = OrderedDict(), OrderedDict(), OrderedDict()
        self.counts, self.asked = {}, 0

    def ask(self, key: int) -> bool:
        self.counts[key] = min(self.counts.get(key, 0) + 1, 15)
        self.asked += 1
        if self.asked >= 10 * self.size:
            self.asked //= 2
            self.counts = {k: n // 2 for k, n in self.counts.items() if n > 1}
        if key in self.window:
            self.window.move_to_end(key)
            return True
        if key in self.protected:
            self.protected.move_to_end(key)
            return True
        if key in self.probation:
            del self.probation[key]
            self.protected[key] = None
            if len(self.protected) > self.protected_size:
                self.probation[self.protected.popitem(last=False)[0]] = None
            return True
        self.window[key] = None
        if len(self.window) > self.window_size:
            self.admit(self.window.popitem(last=False)[0])
        return False

    def admit(self, key: int) -> None:
        if len(self.probation) + len(self.protected) < self.size - self.window_size:
            self.probation[key] = None
            return
        victims = self.probation or self.protected
        victim = next(iter(victims))
        if self.counts.get(key, 0) > self.counts.get(victim, 0):
            del victims[victim]
            self.probation[key] = None


def traffic(rng: random.Random, keys: int, alpha: float, scans: float, n: int):
    """n requests: Zipf ones, and, that part of them, of keys that are asked for once."""
    totals = list(itertools.accumulate(rank ** -alpha for rank in range(1, keys + 1)))
    once = keys
    while n > 0:
        # so that runs of 100 make up that part
        if rng.random() < scans / (100 - 99 * scans):
            for _ in range(min(100, n)):
                once += 1
                yield once
            n -= 100
        else:
            yield bisect.bisect_left(totals, rng.random() * totals[-1])
            n -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    policies = [Lru, S3Fifo, WTinyLfu]
    print("| Zipf | scans | kept | " + " | ".join(p.__name__ for p in policies) + " |")
    for alpha, scans, part in itertools.product((0.8, 1.0, 1.2), (0, 0.3), (0.005, 0.05)):
        caches = [p(int(args.keys * part)) for p in policies]
        hits = [0] * len(caches)
        # the first half fills them
        for i, key in enumerate(traffic(random.Random(args.seed), args.keys, alpha, scans, args.requests)):
            for j, cache in enumerate(caches):
                hits[j] += cache.ask(key) and i >= args.requests // 2
        print(f"| {alpha} | {scans:.0%} | {part:.1%} | " +
              " | ".join(f"{100 * n / (args.requests / 2):.1f} %" for n in hits) + " |")


if __name__ == "__main__":
    main()
