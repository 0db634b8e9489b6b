#!/usr/bin/env python3
"""The pages that `report` and `leaktest --format html` write, from real runs: do they say what their documents say, can
everybody read them, and does nothing leave them?

    pages_test.py PROGRAM RESULTS

RESULTS: the folder with results of measurements. In a network and a /run of its own; needs root.
"""

import collections
import html.parser
import json
import os
import re
import subprocess
import sys
import unittest

ACCOUNTS = ("debian-tor=107,clearnet=1001,htp=110,tails-upgrade-frontend=112,tails-iuk-get-target-file=111,"
            "Debian-gdm=113,_apt=42,proxy=13")
VOID = {"meta", "link", "img", "br"}
CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
# Elements and attributes that make a browser fetch or run something.
ACTIVE = {"iframe", "object", "embed", "form", "base", "audio", "video", "source", "track", "applet", "frame", "portal"}
TARGETS = {"href", "src", "srcset", "action", "poster", "data", "background", "xlink:href", "formaction", "ping"}


class Element:
    def __init__(self, name, attributes, parent):
        self.name, self.attributes, self.parent, self.parts = name, attributes, parent, []

    def __getitem__(self, attribute):
        return self.attributes.get(attribute, "")

    @property
    def text(self):
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    def all(self, *names):
        for part in self.parts:
            if isinstance(part, str):
                continue
            if part.name in names:
                yield part
            yield from part.all(*names)

    def everything(self):
        for part in self.parts:
            if not isinstance(part, str):
                yield part
                yield from part.everything()

    def classed(self, name):
        return [element for element in self.everything() if name in element["class"].split()]


class Reader(html.parser.HTMLParser):
    """A tree; fails where elements are not closed in the order in which they were opened."""

    def __init__(self):
        super().__init__()
        self.root = self.at = Element("", {}, None)

    def handle_starttag(self, name, attributes):
        names = [key for key, _ in attributes]
        assert len(names) == len(set(names)), f"<{name}> has an attribute twice: {names}"
        element = Element(name, {key: value or "" for key, value in attributes}, self.at)
        self.at.parts.append(element)
        if name not in VOID:
            self.at = element

    def handle_endtag(self, name):
        assert self.at.name == name, f"</{name}> closes <{self.at.name}>"
        self.at = self.at.parent

    def handle_data(self, data):
        self.at.parts.append(data)


def luminance(colour):
    """WCAG 2.1, relative luminance, of "#rgb" or "#rrggbb"."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[at:at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


class Page(unittest.TestCase):
    maxDiff = None

    def read(self, text):
        reader = Reader()
        reader.feed(text)
        self.assertIs(reader.at, reader.root, "something is not closed")
        self.text, self.page = text, reader.root
        self.documents = {script["id"]: json.loads(script.text) for script in self.page.all("script")}

    def is_closed(self):
        """Nothing that a browser would fetch, and nothing that runs."""
        policy = [meta for meta in self.page.all("meta") if meta["http-equiv"]]
        self.assertEqual([(meta["http-equiv"], meta["content"]) for meta in policy], [("Content-Security-Policy", CSP)])
        self.assertLess(self.text.index("Content-Security-Policy"), self.text.index("<style>"))
        for element in self.page.everything():
            self.assertNotIn(element.name, ACTIVE)
            for key, value in element.attributes.items():
                self.assertFalse(key.startswith("on"), key)
                if key in TARGETS:
                    self.assertRegex(value, r"^(#|data:(,$|image/svg\+xml;base64,))")
            if element.name == "script":
                self.assertEqual(element["type"], "application/json")
            if element.name == "style":
                self.assertNotRegex(element.text, r"@import|url\(|https?:|src:")
            self.assertNotRegex(element["style"], r"url\(")

    def is_for_everybody(self):
        """What a screen reader, a keyboard and weak eyes need."""
        self.assertEqual([element["lang"] for element in self.page.all("html")], ["en"])
        self.assertEqual(len(list(self.page.all("h1"))), 1)
        main = list(self.page.all("main"))
        self.assertEqual([(element["id"], element["tabindex"]) for element in main], [("main", "-1")])
        first = next(self.page.all("a"))
        self.assertEqual((first["class"], first["href"]), ("skip", "#main"))
        before = 0
        for heading in self.page.all("h1", "h2", "h3", "h4"):
            self.assertLessEqual(int(heading.name[1]), before + 1, f"a level is left out before {heading.text}")
            before = int(heading.name[1])
        for cell in self.page.all("th"):
            self.assertIn(cell["scope"], ("col", "row"), cell.text)
        for picture in self.page.all("svg"):
            self.assertEqual(picture["role"], "img")
            self.assertTrue(picture["aria-label"] or picture["aria-labelledby"])
        for picture in self.page.all("img"):
            self.assertTrue(picture["alt"])
        scrolling = self.page.classed("scroll")
        self.assertTrue(scrolling)
        for region in scrolling:
            self.assertEqual((region["role"], region["tabindex"]), ("region", "0"))
            self.assertTrue(region["aria-label"])
        for text in self.page.all("pre"):
            self.assertEqual(text["tabindex"], "0")
        # Boxes that are no table's any more on a narrow screen keep the roles.
        for table in self.page.classed("cards") + self.page.classed("matrix"):
            roles = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell"}
            for element in [table, *table.everything()]:
                if element.name in roles:
                    self.assertEqual(element["role"], roles[element.name])
                if element.name == "th":
                    self.assertEqual(element["role"], "columnheader" if element["scope"] == "col" else "rowheader")
        ids = [element["id"] for element in self.page.everything() if element["id"]]
        self.assertEqual(len(ids), len(set(ids)))
        for link in self.page.all("a"):
            self.assertIn(link["href"][1:], ids)
        schemes = re.findall(r":root\{([^}]*)\}", next(self.page.all("style")).text)
        self.assertEqual(len(schemes), 2, "light and dark")
        for scheme in schemes:
            colours = dict(re.findall(r"--([a-z]+):(#[0-9a-f]+)", scheme))
            for ink in ("ink", "faint", "good", "bad", "warn", "a", "b", "c"):
                for ground in ("ground", "card"):
                    self.assertGreaterEqual(contrast(colours[ink], colours[ground]), 4.5, f"{ink} on {ground}")

    def has_the_matrix(self):
        """Every number of the leak test: the tiles, and each cell counted anew from the cases."""
        document = self.documents["leaktest"]
        self.assertEqual(document["tried"], len(document["cases"]))
        shown = {element["data-key"]: element.text for element in self.page.everything() if element["data-key"]}
        self.assertEqual(shown, {key: str(document[key]) for key in ("tried", "leaks", "broken", "packets_on_cables")})
        wanted = collections.defaultdict(lambda: [0, 0, 0])
        for case in document["cases"]:
            cell = wanted[case["to"], case["user"]]
            cell[0] += case["ok"] and case["expected"] in ("reaches", "passes")
            cell[1] += 1
            cell[2] += not case["ok"]
        found, signs, leaks, broken = {}, {}, {}, {}
        table, = self.page.classed("matrix")
        users = [cell.text for cell in next(table.all("tr")).all("th")][1:]
        self.assertEqual(set(users), {case["user"] for case in document["cases"]})
        for row in list(table.all("tr"))[1:]:
            to = next(row.all("th")).text
            cells = [cell for cell in row.all("td") if "rest" not in cell["class"].split()]
            self.assertEqual(len(cells), len(users))
            for user, cell in zip(users, cells):
                if cell["class"] == "untried":
                    continue
                self.assertEqual(cell["data-user"], user)
                said, = cell.classed("said")
                numbers = [int(number or 0) for number in re.fullmatch(
                    r"(\d+) of (\d+)(?:, (\d+) leaked)?(?:, (\d+) broken)?", said.text).groups()]
                leaks[to, user], broken[to, user] = numbers[2:]
                found[to, user] = [numbers[0], numbers[1], sum(numbers[2:])]
                signs[to, user] = next(cell.all("b")).text
            blocked = sum(found[to, user][::2] == [0, 0] for user in users if (to, user) in found)
            rest = [cell.text for cell in row.all("td") if "rest" in cell["class"].split()]
            self.assertEqual([re.search(r"\d+", text)[0] for text in rest], [str(blocked)] if blocked else [], to)
        self.assertEqual(found, dict(wanted))
        self.assertEqual(sum(leaks.values()), document["leaks"])
        self.assertEqual(sum(broken.values()), document["broken"])
        for key, (through, tried, _) in wanted.items():
            good = "·" if through == 0 else "●" if through == tried else "◐"
            self.assertEqual(signs[key], "✗" if leaks[key] else "!" if broken[key] else good, key)

    def has_the_measurements(self):
        """Each bar is as long as its number says, the longest of a chart is the whole, and each number is one of its
        document."""
        def values(name):
            """Of (measure, of what): all numbers that the document has under these names."""
            found = collections.defaultdict(list)

            def take(of, row):
                for measure, value in row.items():
                    value = value.get("median") if isinstance(value, dict) else value
                    if isinstance(value, (int, float)):
                        found[measure, of].append(value)

            with open(f"{RESULTS}/{name}.json", encoding="utf-8") as file:
                for part in json.load(file).values():
                    if isinstance(part, list):
                        for row in part:
                            if isinstance(row, dict) and "name" in row:
                                take(row["name"], row)
                    elif isinstance(part, dict):
                        for of, row in part.items():
                            if isinstance(row, dict):
                                take(of, row)
            return found

        charts, known = 0, {}
        section, = [section for section in self.page.all("section") if section["id"] == "bench"]
        for part in section.all("h3", "table"):
            if part.name == "h3":
                known = {} if part.text.endswith(".svg") else values(part.text)
                continue
            charts += 1
            measure = next(part.all("caption")).text
            bars = [(next(row.all("th")).text, cell, float(cell.text))
                    for row in part.all("tr") for cell in row.all("td")]
            most = max(value for _, _, value in bars)
            for of, cell, value in bars:
                length = float(re.search(r"--part:([\d.]+)", cell.classed("bar")[0]["style"])[1])
                self.assertAlmostEqual(length, value / most, delta=0.002)
                self.assertTrue(any(abs(value - true) <= 1e-3 * abs(true) for true in known[measure, of]),
                                (measure, of, value, known[measure, of]))
        self.assertGreater(charts, 3)
        self.assertTrue(list(self.page.all("img")), "the plots are missing")

    def has_the_picture(self):
        """Both pictures of who may reach what, for wide and for narrow screens, say what the table says."""
        section, = [section for section in self.page.all("section") if section["id"] == "reach"]
        said = sorted((next(row.all("th")).text, item.text) for row in section.all("tr") for item in row.all("li"))
        self.assertGreater(len(said), 10)
        pictures = list(section.all("svg"))
        self.assertEqual([picture["class"] for picture in pictures], ["wide", "narrow"])
        for picture in pictures:
            lines = sorted(tuple(next(path.all("title")).text.replace(":", "", 1).split(" to ", 1))
                           for path in picture.all("path"))
            self.assertEqual([f"{who} {to}" for who, to in lines], [f"{who} {to}" for who, to in said])

    def report(self, *words, status=0):
        done = subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "report", "--quick", "--bench", RESULTS, "--html",
                               "/run/report.html", *words], check=False)
        self.assertEqual(done.returncode, status)
        with open("/run/report.html", encoding="utf-8") as file:
            self.read(file.read())
        self.is_closed()
        self.is_for_everybody()
        self.has_the_matrix()

    def test_report_of_rules_that_leak(self):
        """Rules in force that are not the policy's are what is proved and tried, each failure with a packet."""
        subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "apply"], check=True)
        subprocess.run(["iptables-legacy", "-I", "OUTPUT", "1", "-p", "udp", "-j", "ACCEPT"], check=True)
        try:
            self.report(status=1)
        finally:
            subprocess.run(["iptables-legacy", "-D", "OUTPUT", "1"], check=True)
        self.assertIn("Proved and tried: the rules in force. ✗ Something does not hold", self.page.text)
        failed = [each for each in self.documents["proof"]["properties"] if not each["holds"]]
        self.assertIn("non-tcp-internet", [each["name"] for each in failed])
        shown = [json.loads(text.text) for text in self.page.all("pre")]
        self.assertEqual(shown, [each["counterexample"] for each in failed if each.get("counterexample")])
        self.assertIn("udp", [packet["proto"] for packet in shown])
        self.assertGreater(self.documents["leaktest"]["leaks"], 5)
        self.assertEqual(self.documents["status"]["state"], "drift")
        # Accounts that fare alike share a line; all of them are there.
        listed = [item.text for item in self.page.classed("findings")[0].all("li")]
        for case in self.documents["leaktest"]["cases"]:
            if not case["ok"]:
                self.assertTrue(any((case["user"] in item or "every account" in item) and f"to {case['to']}, {case['how']}: {case['observed']}" in item
                                    for item in listed), case)

    def test_report_of_other_rules(self):
        """Rules that are named are proved and tried, and it is said that they are not those in force."""
        self.report("tails-classic", status=1)
        self.assertIn("not the rules in force", self.page.text)

    def test_file_that_cannot_be_written(self):
        for path, reason in (("/nowhere/r.html", "no such file or directory (ENOENT)"), ("/run", "is a directory (EISDIR)")):
            done = subprocess.run([PROGRAM, "-q", "report", "--html", path], check=False, capture_output=True, text=True)
            self.assertEqual(done.returncode, 3)
            self.assertEqual(done.stderr, f"tails-iptc: cannot write {path}: {reason}\n  Name a file in a folder that is "
                                          "there and that you may write to. No page was written.\n")

    def test_report(self):
        subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "apply"], check=True)
        self.report()
        self.has_the_picture()
        self.has_the_measurements()
        self.assertIn("Proved and tried: the rules in force. ✓", self.page.text)
        self.assertEqual(self.text.count("✓ holds"), len(self.documents["proof"]["properties"]))
        counted = [[int(cell.text) for cell in row.all("td") if cell["data-unit"]]
                   for row in self.page.classed("counters")[0].all("tr")][1:]
        self.assertEqual(counted, [[entry["packets"], entry["bytes"]] for entry in self.documents["status"]["entries"]])

    def test_leaktest(self):
        done = subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "leaktest", "--quick", "--format", "html"],
                              check=True, stdout=subprocess.PIPE, text=True)
        self.read(done.stdout)
        self.is_closed()
        self.is_for_everybody()
        self.has_the_matrix()


if __name__ == "__main__":
    if sys.argv[1] != "--inside":
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, __file__, "--inside", *sys.argv[1:]])
    PROGRAM, RESULTS = sys.argv[2:4]
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    unittest.main(argv=sys.argv[:1])
