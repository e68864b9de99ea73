"""bench/flamegraph.py and bench/contexts.py on fixed samples."""
from __future__ import annotations

import unittest
import xml.etree.ElementTree as ElementTree

import contexts
import flamegraph
from flamegraph import Frame

# Three samples in two stacks: a<b>::c has characters that XML does not take as they are.
PERF = """\
postgres  7    100 cpu-clock:ppp:
\t    7f01 a<b>::c+0x11 (/usr/lib/vectorx.so)
\t    4002 ExecScan (/usr/bin/postgres)
\t    4001 PostgresMain (/usr/bin/postgres)
\t    4000 main (/usr/bin/postgres)

postgres  7    300 cpu-clock:ppp:
\tffffffff8100 do_read ([kernel.kallsyms])
\t    7f02 [unknown] (/usr/lib/libc.so.6)
\t    4001 PostgresMain (/usr/bin/postgres)
\t    4000 main (/usr/bin/postgres)

my proc  8    100 cpu-clock:ppp:
\t    7f01 a<b>::c (/usr/lib/vectorx.so)
\t    4002 ExecScan (/usr/bin/postgres)
\t    4001 PostgresMain (/usr/bin/postgres)
"""
MAIN, POSTGRES_MAIN = Frame("main", "postgres"), Frame("PostgresMain", "postgres")
SCAN, LEAF = Frame("ExecScan", "postgres"), Frame("a<b>::c", "vectorx.so")
LIBC, READ = Frame("[libc.so.6]", "libc.so.6"), Frame("do_read", "[kernel.kallsyms]")


class CollapseTest(unittest.TestCase):
    def test_equal_stacks_are_added_up_outermost_first(self):
        self.assertEqual(flamegraph.collapse(PERF.splitlines()), {
            (MAIN, POSTGRES_MAIN, SCAN, LEAF): 100, (POSTGRES_MAIN, SCAN, LEAF): 100,
            (MAIN, POSTGRES_MAIN, LIBC, READ): 300})

    def test_bottom(self):
        self.assertEqual(flamegraph.collapse(PERF.splitlines(), bottom="PostgresMain"), {
            (POSTGRES_MAIN, SCAN, LEAF): 200, (POSTGRES_MAIN, LIBC, READ): 300})

    def test_nothing(self):
        self.assertEqual(flamegraph.collapse([]), {})


class GraphTest(unittest.TestCase):
    STACKS = flamegraph.collapse(PERF.splitlines(), bottom="PostgresMain")

    def test_hottest(self):
        lines = flamegraph.hottest(self.STACKS)
        self.assertEqual([line.split() for line in lines[1:]], [
            ["60.00", "60.00", "do_read", "([kernel.kallsyms])"], ["40.00", "40.00", "a<b>::c", "(vectorx.so)"]])

    def test_recursion_counts_once(self):
        f, g = Frame("f", "x"), Frame("g", "x")
        lines = flamegraph.hottest(flamegraph.Counter({(f, g, f): 3, (g,): 1}))
        self.assertEqual([line.split()[:3] for line in lines[1:]], [["75.00", "75.00", "f"], ["25.00", "100.00", "g"]])

    def test_callees_lie_on_their_caller_and_side_by_side(self):
        boxes = flamegraph.layout(flamegraph.tree(self.STACKS))
        place = {b.frame.function: (round(b.left, 6), round(b.width, 6), b.row) for b in boxes}
        self.assertEqual(place, {"all": (0, 1, 0), "PostgresMain": (0, 1, 1), "ExecScan": (0, 0.4, 2),
                                 "a<b>::c": (0, 0.4, 3), "[libc.so.6]": (0.4, 0.6, 2), "do_read": (0.4, 0.6, 3)})

    def test_narrow_boxes_are_left_out(self):
        boxes = flamegraph.layout(flamegraph.tree(self.STACKS), least=0.5)
        self.assertNotIn("ExecScan", [b.frame.function for b in boxes])

    def test_svg(self):
        root = ElementTree.fromstring(flamegraph.svg(self.STACKS, "search & more").encode())
        namespace = "{http://www.w3.org/2000/svg}"
        groups = root.findall(f"{namespace}g")
        self.assertEqual(len(groups), 6)
        self.assertIn("a<b>::c (vectorx.so), 40.00 % of 500", [g.find(f"{namespace}title").text for g in groups])
        for g in groups:
            box = g.find(f"{namespace}rect").attrib
            self.assertGreaterEqual(float(box["x"]), flamegraph.MARGIN)
            self.assertLessEqual(float(box["x"]) + float(box["width"]), flamegraph.WIDTH - flamegraph.MARGIN + 0.01)

    def test_text_fits(self):
        self.assertEqual(flamegraph.fitted("PostgresMain", 500), "PostgresMain")
        self.assertEqual(flamegraph.fitted("PostgresMain", 44), "Postg…")
        self.assertEqual(flamegraph.fitted("PostgresMain", 10), "")


LOG = """\
2020-01-01 LOG:  logging memory contexts of PID 12
2020-01-01 LOG:  level: 1; TopMemoryContext: 1000 total in 5 blocks; 100 free (21 chunks); 900 used
2020-01-01 LOG:  level: 2; Hnsw build graph context: 50000 total in 7 blocks (23080 chunks); 10 free (0 chunks); 49990 used
2020-01-01 LOG:  level: 2; CacheMemoryContext: 3000 total in 1 blocks; 500 free (2 chunks); 2500 used
2020-01-01 LOG:  level: 3; index info: 2000 total in 2 blocks; 500 free (2 chunks); 1500 used: some_index
2020-01-01 LOG:  level: 3; 5 more child contexts containing 700 total in 9 blocks; 100 free (1 chunks); 600 used
2020-01-01 LOG:  Grand total: 56700 bytes in 24 blocks; 1210 free (25 chunks); 55490 used
2020-01-01 LOG:  logging memory contexts of PID 13
2020-01-01 LOG:  level: 1; TopMemoryContext: 7 total in 5 blocks; 1 free (21 chunks); 6 used
2020-01-01 LOG:  Grand total: 7 bytes in 5 blocks; 1 free (21 chunks); 6 used
"""


class ContextsTest(unittest.TestCase):
    def test_log(self):
        answers = contexts.read_log(LOG.splitlines(), 12)
        self.assertEqual(len(answers), 1)
        self.assertEqual([(c.level, c.name, c.ident, c.total) for c in answers[0]], [
            (1, "TopMemoryContext", "", 1000), (2, "Hnsw build graph context", "", 50000),
            (2, "CacheMemoryContext", "", 3000), (3, "index info", "some_index", 2000), (3, "5 more", "", 700)])
        self.assertEqual(contexts.total(answers[0]), 56700)

    def test_answers_of_others_are_not_taken(self):
        self.assertEqual(contexts.read_log(LOG.splitlines(), 14), [])
        self.assertEqual(contexts.total(contexts.read_log(LOG.splitlines(), 13)[0]), 7)

    def test_table_has_children_in_their_parents_sum(self):
        lines = contexts.table(contexts.read_log(LOG.splitlines(), 12)[0], least=4000)
        self.assertEqual([line.split(None, 3) for line in lines[1:4]], [
            ["56,700", "1,000", "900", "TopMemoryContext"], ["50,000", "50,000", "49,990", "Hnsw build graph context"],
            ["5,700", "3,000", "2,500", "CacheMemoryContext"]])
        self.assertEqual(lines[4].split()[0], "2,700")
        self.assertEqual(lines[-1].split(), ["56,700", "55,490", "all"])


if __name__ == "__main__":
    unittest.main()
