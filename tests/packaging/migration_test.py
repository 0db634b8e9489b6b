#!/usr/bin/env python3
"""docs/migrating-from-ferm.md, done: ferm itself turns its file into rules, and `diff` compares them with the policy.

    migration_test.py SOURCE PROGRAM

What differs between the old file and the built-in profile `tails` is, packet by packet, one of the fourteen holes of
docs/semantics.md; with the holes closed in the file (bench/apply.ferm) the two are the same for every packet.
"""

import ipaddress
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE, PROGRAM = pathlib.Path(sys.argv[1]), sys.argv[2]
ACCOUNTS = ("debian-tor=107,clearnet=1001,htp=110,tails-upgrade-frontend=112,tails-iuk-get-target-file=111,"
            "Debian-gdm=113,_apt=42,proxy=13,nobody=65534")
TOR, CLEARNET = 107, 1001
LAN = [ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
GUESTS = ipaddress.ip_network("10.200.1.0/24")
# Holes that no difference of this file shows: what a reload does (3, 4), names of services (8) and the order of nat and
# filter (9) are not in rules.
IN_RULES = {1, 2, 5, 6, 7, 10, 11, 12, 13, 14}


def ferm():
    for folder in (SOURCE / "build/peers/ferm/usr/sbin", pathlib.Path("/usr/sbin")):
        if (folder / "ferm").exists():
            return str(folder / "ferm")
    sys.exit("migration_test: ferm is missing; run scripts/install-deps packaging")


def convert(file, folder):
    """As the guide has it: one file for each family."""
    paths = []
    for domain in ("ip", "ip6"):
        done = subprocess.run(["perl", ferm(), "--noexec", "--lines", "--remote", "--domain", domain, str(file)],
                              check=True, capture_output=True, text=True)
        paths.append(pathlib.Path(folder) / f"{file.stem}.{domain}")
        paths[-1].write_text(done.stdout)
    return ",".join(map(str, paths))


def diff(operand):
    done = subprocess.run([PROGRAM, "--json", "--user-map", ACCOUNTS, "diff", "--most", "1000", "tails", operand],
                          capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def holes(difference):
    """The numbers of the holes that this packet goes through (or, 13 and 14, should but does not)."""
    packet = difference["packet"]
    to, state, proto, out = ipaddress.ip_address(packet["dst"]), packet["state"], packet["proto"], packet["out"]
    if difference["a"] == "accept":
        if proto == "icmp" and state == "RELATED" and out.startswith("veth-"):
            return {13}
        return {14} if proto == "icmpv6" and state in ("RELATED", "ESTABLISHED") else set()
    found = set()
    if packet["hook"] == "FORWARD":
        return {5} if out.startswith("veth-") or packet["in"].startswith("veth-") else set()
    if packet["hook"] != "OUTPUT":
        return set()
    is_lan = to.version == 4 and any(to in net for net in LAN)
    if is_lan and out == "lo":
        found.add(1)
    if to.version == 4 and to in ipaddress.ip_network("127.0.0.0/8") and out != "lo":
        found.add(2)
    opens = state == "NEW" and (proto != "tcp" or packet["flags"] == "SYN") or state == "ESTABLISHED" and proto != "tcp"
    if not opens and (is_lan or packet["uid"] in (CLEARNET, TOR)):
        found.add(6)
    if packet["uid"] == TOR and out == "lo":
        found.add(7)
    if is_lan and proto == "udp" and packet["dport"] == 138:
        found.add(10)
    if state == "ESTABLISHED" and (proto != "tcp" or packet["flags"] == "SYN"):
        found.add(11)
    if to in GUESTS and out != "lo":
        found.add(12)
    return found


class Migration(unittest.TestCase):
    maxDiff = None

    def test_the_old_file_differs_by_the_named_holes_only(self):
        with tempfile.TemporaryDirectory() as folder:
            answer = diff(convert(SOURCE / "tests/packaging/migrating/tails.ferm", folder))
        self.assertFalse(answer["same"])
        self.assertGreater(len(answer["differences"]), 10)
        shown = set()
        for difference in answer["differences"]:
            found = holes(difference)
            self.assertTrue(found, json.dumps(difference, indent=1))
            shown |= found
        print(f"{len(answer['differences'])} classes of packets, holes {sorted(shown)}")
        self.assertLessEqual(shown, IN_RULES)
        self.assertLessEqual({2, 5, 11, 12, 13, 14}, shown)

    def test_with_the_holes_closed_the_file_is_the_profile(self):
        with tempfile.TemporaryDirectory() as folder:
            answer = diff(convert(SOURCE / "bench/apply.ferm", folder))
        self.assertEqual({"same": True, "differences": []}, {key: answer[key] for key in ("same", "differences")})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
