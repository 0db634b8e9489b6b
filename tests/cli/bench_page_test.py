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

    def points(self, section):
        """What the marks of a plot say, read off its axes as a reader does."""
        body, = [element for element in self.page.all("section") if element["id"] == section]
        svg = next(body.all("svg"))
        ticks = [element for element in svg.all("text") if element["class"] == "t"]
        x_ticks = [(float(t["x"]), t.text) for t in ticks if t["text-anchor"] == "middle"]
        y_ticks = [(float(t["y"]) - 4, float(t.text)) for t in ticks if t["text-anchor"] == "end"]
        # Ticks with words (percentiles) lie at 0, 1, 2, …
        try:
            x_ticks = [(at, float(text)) for at, text in x_ticks]
        except ValueError:
            x_ticks = [(at, number) for number, (at, _) in enumerate(x_ticks)]
        is_log = y_ticks[0][1] != 0

        def read(at, scale):
            (low_at, low), (high_at, high) = scale[0], scale[-1]
            part = (at - low_at) / (high_at - low_at)
            return low * (high / low) ** part if is_log and scale is y_ticks else low + part * (high - low)
        return [(read(float(mark["x"]), x_ticks), read(float(mark["y"]) - 4, y_ticks)) for mark in self.marks(section)]

    def lies_at(self, section, wanted):
        """A point may be a hundredth of the plot off: its places have one digit behind the point."""
        found = self.points(section)
        self.assertEqual(len(found), len(wanted))
        for (x, y), (want_x, want_y) in zip(found, wanted):
            self.assertAlmostEqual(x, want_x, delta=0.01 * max(one for one, _ in wanted))
            self.assertAlmostEqual(y, want_y, delta=max(0.01 * max(one for _, one in wanted), 0.02 * want_y))

    def test_in_memory(self):
        self.bench()
        self.has_the_results()
        # The filter at each share of leaks, and beside each the limit.
        self.assertEqual(len(self.marks("rates")), 2 * len(
            {row["leak_percent"] for row in self.document["results"] if row["name"].startswith("pipeline-")}))
        rates = {row["name"]: row["mpps"]["median"] for row in self.document["results"]}
        shares = sorted((row["leak_percent"], row["mpps"]["median"]) for row in self.document["results"]
                        if row["name"].startswith("pipeline-"))
        self.lies_at("rates", shares + [(share, rates["software-nic-io"]) for share, _ in shares])
        self.lies_at("latencies", [(number + 1, self.document["latency_us"][key])
                                   for number, key in enumerate(("p50", "p90", "p99", "p999"))])
        self.assertEqual([self.plain(text) for text in self.rows("latencies")[0][1:]],
                         [float(f"{self.document['latency_us'][key]:.4g}") for key in
                          ("p50", "p90", "p99", "p999", "most")])

    def test_over_a_cable(self):
        for command in ("ip link add left type veth peer name right", "ip link set left up", "ip link set right up"):
            subprocess.run(command.split(), check=True)
        self.bench("--inside", "left", "--outside", "right", "--rate", "0.002")
        self.has_the_results()
        self.lies_at("rates", [(point["mpps"], 100 * point["loss"]) for point in self.document["points"]])
        self.lies_at("latencies", [(number + 1, latency["us"][key]) for latency in self.document["latencies"]
                                   for number, key in enumerate(("p50", "p90", "p99", "p999"))])
        self.assertEqual([[self.plain(text) for text in row[1:]] for row in self.rows("rates")],
                         [[float(f"{point['mpps']:.4g}"), float(f"{100 * point['loss']:.4g}"), point["leaked"],
                           point["trials"]] for point in self.document["points"]])


# Those of the other file are not to run here.
for name in [name for name in vars(pages_test.Page) if name.startswith("test_")]:
    delattr(pages_test.Page, name)

if __name__ == "__main__":
    if sys.argv[1] != "--inside":
        os.execvp("unshare", ["unshare", "--net", sys.executable, __file__, "--inside", *sys.argv[1:]])
    PROGRAM = sys.argv[2]
    unittest.main(argv=sys.argv[:1])
