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
        wanted = collections.defaultdict(lambda: [0, 0])
        for case in document["cases"]:
            cell = wanted[case["to"], case["user"]]
            cell[0] += case["ok"] and case["expected"] in ("reaches", "passes")
            cell[1] += 1
        found, signs = {}, {}
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
                numbers = re.fullmatch(r"(\d+) of (\d+)", said.text)
                found[to, user] = [int(numbers[1]), int(numbers[2])]
                signs[to, user] = next(cell.all("b")).text
            blocked = sum(found[to, user][0] == 0 for user in users if (to, user) in found)
            rest = [cell.text for cell in row.all("td") if "rest" in cell["class"].split()]
            self.assertEqual([re.search(r"\d+", text)[0] for text in rest], [str(blocked)] if blocked else [], to)
        self.assertEqual(found, dict(wanted))
        for key, (through, tried) in wanted.items():
            self.assertEqual(signs[key], "·" if through == 0 else "●" if through == tried else "◐", key)

    def test_report(self):
        subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "apply"], check=True)
        subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "report", "--quick", "--bench", RESULTS, "--html",
                        "/run/report.html"], check=True)
        with open("/run/report.html", encoding="utf-8") as file:
            self.read(file.read())
        self.is_closed()
        self.is_for_everybody()
        self.has_the_matrix()
        self.assertEqual(self.text.count("✓ holds"), len(self.documents["proof"]["properties"]))
        counted = [[int(cell.text) for cell in row.all("td") if cell["data-unit"]]
                   for row in self.page.classed("counters")[0].all("tr")][1:]
        self.assertEqual(counted, [[entry["packets"], entry["bytes"]] for entry in self.documents["status"]["entries"]])
        # Each bar is as long as its number says; the longest of a chart is the whole.
        charts = [[(float(re.search(r"--part:([\d.]+)", cell.classed("bar")[0]["style"])[1]), float(cell.text))
                   for cell in table.all("td")] for table in self.page.classed("bars")]
        self.assertGreater(len(charts), 3)
        for bars in charts:
            most = max(value for _, value in bars)
            for part, value in bars:
                self.assertAlmostEqual(part, value / most, delta=0.001)
        self.assertTrue(list(self.page.all("img")), "the plots are missing")

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
