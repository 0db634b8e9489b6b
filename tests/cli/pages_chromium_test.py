#!/usr/bin/env python3
"""Both pages in headless Chromium, light and dark, 360 and 1,400 pixels wide: what a browser makes of them.

    pages_chromium_test.py PROGRAM RESULTS CHROMIUM [PICTURES]

RESULTS: the folder with results of measurements. PICTURES: a folder for screenshots, to be looked at. In a network and
a /run of its own; needs root. What the pages say is tested by pages_test.py, without a browser.
"""

import os
import re
import subprocess
import sys
import unittest

from chromium import Chromium
from pages_test import ACCOUNTS

WIDTHS = (360, 1400)

# Text that can be seen and has less contrast to what is behind it than WCAG 2.1 asks for (4.5), or lies outside the
# window without a region that scrolls.
WEAK_TEXT = """(() => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number);
  const part = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || ["SCRIPT", "STYLE", "TITLE", "DESC"].includes(element.tagName.toUpperCase())) continue;
    if (!element.checkVisibility() || element.closest(".said, .skip, details:not([open]) > :not(summary)")) continue;
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    const ink = rgb(element.closest("svg") ? style.fill : style.color);
    const [low, high] = [light(ink), light(ground(element))].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) weak.push("contrast: " + text.slice(0, 40));
    const size = parseFloat(style.fontSize) * (element.closest("svg")?.getScreenCTM()?.a ?? 1);
    if (size < 10) weak.push("small: " + text.slice(0, 40) + " " + size);
    if (box.right > innerWidth + 1 && !element.closest(".scroll, pre, thead")) weak.push("outside: " + text.slice(0, 40));
  }
  return weak;
})()"""

# Where the keyboard is, whether that can be seen, and which part of the page it is.
FOCUS = """(() => {
  const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
  return [e.tagName, e.getAttribute("aria-label") || e.textContent.trim().slice(0, 40),
          s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2, b.top < innerHeight && b.bottom > 0];
})()"""


class Pages(unittest.TestCase):
    def visit(self, path):
        for width in WIDTHS:
            for is_dark in (False, True):
                with self.subTest(width=width, is_dark=is_dark), Chromium(CHROMIUM) as browser:
                    browser.open(path, width, is_dark)
                    self.look(browser, path, width, is_dark)
                    if PICTURES:
                        shade = "dark" if is_dark else "light"
                        name = os.path.basename(path).removesuffix(".html")
                        browser.picture(f"{PICTURES}/{name}-{width}-{shade}.png")

    def look(self, browser, path, width, is_dark):
        asked = [event["params"]["request"]["url"] for event in browser.events
                 if event.get("method") == "Network.requestWillBeSent"]
        self.assertEqual([url for url in asked if not url.startswith("data:")], ["file://" + path])
        said = [event["params"] for event in browser.events
                if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")]
        self.assertEqual(said, [], "the browser complains")
        self.assertEqual(browser.value("document.documentElement.scrollWidth"), width, "it scrolls sideways")
        ground = browser.value("getComputedStyle(document.body).backgroundColor")
        self.assertEqual(ground, "rgb(21, 22, 26)" if is_dark else "rgb(255, 255, 255)")
        self.assertEqual(browser.value(WEAK_TEXT), [])
        if "report" in path:
            seen = browser.value("[...document.querySelectorAll('svg')].filter(e => e.checkVisibility()).length")
            self.assertEqual(seen, 1, "the picture of who may reach what")
        self.has_names(browser, ("link", "region", "heading") + (("image",) if "report" in path else ()))
        self.is_walked(browser)

    def has_names(self, browser, roles):
        """What a screen reader is given."""
        tree = [node for node in browser.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]

        def of(role):
            return [node for node in tree if node["role"]["value"] == role]

        def names(role):
            return [node.get("name", {}).get("value", "") for node in of(role)]

        self.assertEqual(len(of("main")), 1)
        for role in roles:
            self.assertTrue(names(role), role)
            self.assertNotIn("", names(role), role)
        # Roles of tables are there on a narrow screen too, where their boxes are none.
        for role in ("table", "row", "columnheader", "rowheader", "cell"):
            self.assertTrue(of(role), role)
        self.assertIn("amnesia", names("columnheader"))
        self.assertIn("the Internet", names("rowheader"))

    def is_walked(self, browser):
        """Tab leads through everything that can be reached, and it is seen where."""
        wanted = browser.value("[...document.querySelectorAll('a, summary, [tabindex=\"0\"]')]"
                               ".filter(e => e.checkVisibility()).length")
        visited = []
        for _ in range(wanted):
            for kind in ("rawKeyDown", "keyUp"):
                browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            visited.append(browser.value(FOCUS))
        self.assertEqual(visited[0][:2], ["A", "To the content"])
        for name, label, is_outlined, is_in_view in visited:
            self.assertTrue(is_outlined, f"{name} {label}: no outline")
            self.assertTrue(is_in_view, f"{name} {label}: not in view")
        self.assertEqual(len({tuple(place[:2]) for place in visited}), wanted, visited)

    def test_report(self):
        subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "apply"], check=True)
        subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "report", "--bench", RESULTS, "--html",
                        "/run/report.html"], check=True)
        self.visit("/run/report.html")

    def test_leaktest_with_findings(self):
        """Under rules of which one lets too much through and one is missing."""
        saved = subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "show", "--format", "save"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout
        last = "-A OUTPUT -j log_reject\n"
        with open("/run/v4.rules", "w", encoding="utf-8") as file:
            file.write(re.sub(r".*dport 9063.*\n", "", saved).replace(last, "-A OUTPUT -p icmp -j ACCEPT\n" + last))
        with open("/run/v6.rules", "w", encoding="utf-8") as file:
            subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "show", "--format", "save", "--family", "6"],
                           check=True, stdout=file)
        with open("/run/leaks.html", "w", encoding="utf-8") as file:
            done = subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "leaktest", "--format", "html",
                                   "/run/v4.rules,/run/v6.rules"], check=False, stdout=file)
        self.assertEqual(done.returncode, 1)
        self.visit("/run/leaks.html")


if __name__ == "__main__":
    if sys.argv[1] != "--inside":
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, __file__, "--inside", *sys.argv[1:]])
    PROGRAM, RESULTS, CHROMIUM = sys.argv[2:5]
    PICTURES = sys.argv[5] if len(sys.argv) > 5 else None
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    unittest.main(argv=sys.argv[:1])
