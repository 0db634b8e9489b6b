#!/usr/bin/env python3
"""The list of dependencies is whole, docs/supply.md shows it, and bills of materials can be made from it.

    supply_test.py SOURCE BUILD PROGRAM…

Whole: of every header that our own objects of this build include, the package is listed; and of every library that a
program loads (packaging/sbom sees to that).
"""

import importlib.machinery
import importlib.util
import json
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
source, build, programs = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
loader = importlib.machinery.SourceFileLoader("sbom", str(source / "packaging" / "sbom"))
sbom = importlib.util.module_from_spec(importlib.util.spec_from_loader("sbom", loader))
loader.exec_module(sbom)
wrong = []

listed = sbom.read_dependencies(source / "packaging" / "dependencies")
names = {row[0] for row in listed}

# Only where DPDK is are these: what they contain are headers of packages that are loaded.
HEADERS_OF_LOADED = {"libpcap0.8-dev", "libip4tc-dev", "libip6tc-dev", "libmnl-dev", "libcap-ng-dev",
                     "libdpdk-dev", "libbsd-dev"}
deps = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True, check=True).stdout
headers, is_ours = set(), False
for line in deps.splitlines():
    if line and not line.startswith(" "):
        # compile_filters runs when the programs are built, and is in none of them.
        is_ours = not line.startswith(("tests/", "bench/")) and "compile_filters.dir" not in line
    elif is_ours and line.strip().startswith("/usr/"):
        headers.add(str(pathlib.Path(line.strip())))
if len(headers) < 100:
    wrong.append(f"only {len(headers)} headers of the system are used, which cannot be")
used = {}
found = subprocess.run(["dpkg", "-S", *sorted(headers)], capture_output=True, text=True).stdout
for line in found.splitlines():
    package, path = line.split(": ", 1)
    used.setdefault(package.split(":")[0].split(",")[0], path)
for package, path in sorted(used.items()):
    if package not in names | HEADERS_OF_LOADED:
        wrong.append(f"{path} is used, and its package {package} is not in packaging/dependencies")

page = (source / "docs" / "supply.md").read_text(encoding="utf-8")
rows = re.findall(r"^\| `(\S+)` \| (\w+) \| (\S+) \| (.+) \|$", page, re.M)
if rows != listed:
    wrong.append("the table in docs/supply.md is not packaging/dependencies: "
                 + "; ".join(" ".join(row) for row in sorted(set(rows) ^ set(listed))))

for program in programs:
    name = pathlib.Path(program).name
    texts = [sbom.output(str(source / "packaging" / "sbom"), name, "1.2.3", program) for _ in range(2)]
    if texts[0] != texts[1]:
        wrong.append(f"{name}: two bills of materials differ")
    bill = json.loads(texts[0])
    if bill["bomFormat"] != "CycloneDX" or bill["metadata"]["component"]["version"] != "1.2.3":
        wrong.append(f"{name}: is no bill of materials")
    for entry in bill["components"]:
        if not entry["version"] or not entry["licenses"][0]["expression"]:
            wrong.append(f"{name}: {entry['name']} has no version or licence")
    have = {entry["name"] for entry in bill["components"]}
    for must in ("libc6", "libip4tc2", "libcap-ng0"):
        if must not in have:
            wrong.append(f"{name}: {must} is missing")

for line in wrong:
    print(line)
sys.exit(1 if wrong else 0)
