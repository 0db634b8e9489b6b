#!/usr/bin/env python3
"""The page that `bench --html` writes, from real runs in memory and over a cable: does it say what the JSON document
says, can everybody read it, and does nothing leave it?

    bench_page_test.py PROGRAM

In a network of its own; needs root.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import pages_test


class BenchPage(pages_test.Page):
    def bench(self, *words):
        with tempfile.TemporaryDirectory() as folder:
            # DPDK's af_packet driver is no friend of LeakSanitizer; what leaks is another test's matter.
            environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
            done = subprocess.run(
                [PROGRAM, "--user-map", pages_test.ACCOUNTS, "--policy", "tails", "--json", "bench", "--flows", "2000",
                 "--duration", "1", "--trials", "2", "--html", f"{folder}/bench.html", *words, "--", "--file-prefix",
                 f"bench-page-{os.getpid()}", "--no-huge", "-m", "192", "--no-shconf"],
                stdout=subprocess.PIPE, text=True, env=environment)
            self.assertEqual(done.returncode, 0)
            with open(f"{folder}/bench.html", encoding="utf-8") as file:
                self.read(file.read())
        self.document = json.loads(done.stdout)
        self.assertEqual(self.documents["bench"], self.document)
        self.is_closed()
        self.is_for_everybody()

    def rows(self, section):
        body, = [element for element in self.page.all("section") if element["id"] == section]
        return [[cell.text for cell in row.all("th", "td")] for row in body.all("tr") if list(row.all("td"))]

    def has_the_results(self):
        wanted = [[row["name"]] + [f"{row['mpps'][key]:.4g}" for key in ("median", "min", "max")] +
                  [f"{row['ns_per_packet']:.4g}", str(row["leaked"]), str(row["wrongly_blocked"])]
                  for row in self.document["results"]]
        found = self.rows("results")
        for row, want in zip(found, wanted):
            row[0] = row[0].split(":")[0]
            self.assertEqual([self.plain(text) for text in row], [self.plain(text) for text in want])
        self.assertEqual(len(found), len(wanted))

    @staticmethod
    def plain(text):
        """C++ and Python write exponents alike, but not every zero at an end."""
        try:
            return float(text)
        except ValueError:
            return text

    def marks(self, section):
        body, = [element for element in self.page.all("section") if element["id"] == section]
        svg = next(body.all("svg"))
        return [element for element in svg.all("text") if element["text-anchor"] == "middle" and element["style"]]

    def test_in_memory(self):
        self.bench()
        self.has_the_results()
        # The filter at each share of leaks, and beside each the limit.
        self.assertEqual(len(self.marks("rates")), 2 * len(
            {row["leak_percent"] for row in self.document["results"] if row["name"].startswith("pipeline-")}))
        self.assertEqual([self.plain(text) for text in self.rows("latencies")[0][1:]],
                         [float(f"{self.document['latency_us'][key]:.4g}") for key in
                          ("p50", "p90", "p99", "p999", "most")])

    def test_over_a_cable(self):
        for command in ("ip link add left type veth peer name right", "ip link set left up", "ip link set right up"):
            subprocess.run(command.split(), check=True)
        self.bench("--inside", "left", "--outside", "right", "--rate", "0.002")
        self.has_the_results()
        self.assertEqual(len(self.marks("rates")), len(self.document["points"]))
        self.assertEqual([[self.plain(text) for text in row[1:]] for row in self.rows("rates")],
                         [[float(f"{point['mpps']:.4g}"), float(f"{100 * point['loss']:.4g}"), point["leaked"],
                           point["trials"]] for point in self.document["points"]])


# Those of the other file are not to run here.
del pages_test.Page.test_report, pages_test.Page.test_leaktest

if __name__ == "__main__":
    if sys.argv[1] != "--inside":
        os.execvp("unshare", ["unshare", "--net", sys.executable, __file__, "--inside", *sys.argv[1:]])
    PROGRAM = sys.argv[2]
    unittest.main(argv=sys.argv[:1])
