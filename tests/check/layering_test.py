#!/usr/bin/env python3
"""Shows that the layering check sees what is planted, and nothing else."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

LAYERING = pathlib.Path(__file__).with_name("layering")
ARCHITECTURE = pathlib.Path(__file__).parents[2] / "docs" / "architecture.md"


def run(files, architecture=None):
    """Runs the check over a tree of {path: text}, by the real table of rooms or another; (exit status, output)."""
    if architecture is None:
        architecture = ARCHITECTURE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as root:
        for name, text in {**files, "docs/architecture.md": architecture}.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, LAYERING, root], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.replace(root, "ROOT") + done.stderr


class Layering(unittest.TestCase):
    def test_what_the_table_allows_passes(self):
        self.assertEqual(run({
            "net/a.cpp": '#include "net/a.h"\n#include <net/if.h>\n#include <vector>\n',
            "ruleset/a.cpp": '#include "net/a.h"\n#include "ruleset/a.h"\n',
            "policy/a.cpp": '#include "ruleset/a.h"\n#include "net/a.h"\n',
            "iptc/a.cpp": '#include "iptc/kernel/a.h"\n#include "ruleset/a.h"\n',
            "iptc/kernel/a.cpp": '#include <libiptc/libiptc.h>\n#include <linux/netfilter/xt_owner.h>\n#include "net/a.h"\n',
            "proof/a.cpp": '#include <bdd.h>\n#include "policy/policy.h"\n',
            "conntrack/a.cpp": "#include <libnetfilter_conntrack/libnetfilter_conntrack.h>\n"
                               "#include <linux/netfilter/nf_conntrack_tcp.h>\n",
            "host/a.cpp": "#include <linux/netfilter/nfnetlink_log.h>\n",
            "fastpath/dpdk/a.cpp": '#include <rte_mbuf.h>\n#include "fastpath/a.h"\n',
            "cli/a.cpp": '#include "policy/a.h"\n#include "iptc/a.h"\n#include "host/a.h"\n',
            "tests/proof/a.cpp": '#include <bdd.h>\n#include "policy/a.h"\n#include "tests/support/a.h"\n',
            "build/dev/generated.cpp": '#include "anything.h"\n',
        }), (0, ""))

    def test_an_upper_floor_is_out_of_reach(self):
        self.assertEqual(run({
            "net/a.h": '#include "ruleset/match.h"\n',
            "ruleset/a.cpp": '#include <vector>\n\n  #  include "policy/policy.h"\n',
            "policy/a.cpp": '#include "iptc/apply.h"\n',
            "cli/a.cpp": '#include "net/a.h"\n',
        }), (1, 'net/a.h:1: net/ may not include ruleset/ ("ruleset/match.h")\n'
                'policy/a.cpp:1: policy/ may not include iptc/ ("iptc/apply.h")\n'
                'ruleset/a.cpp:3: ruleset/ may not include policy/ ("policy/policy.h")\n'))

    def test_a_room_within_a_room_does_not_see_the_outer_one(self):
        self.assertEqual(run({"iptc/kernel/a.cpp": '#include "iptc/encode.h"\n'}),
                         (1, 'iptc/kernel/a.cpp:1: iptc/kernel/ may not include iptc/ ("iptc/encode.h")\n'))

    def test_the_proof_does_not_know_the_other_judge(self):
        self.assertEqual(run({"proof/a.cpp": '#include "policy/decide.h"\n#include "policy/lower.h"\n'}),
                         (1, 'proof/a.cpp:1: proof/ may not include "policy/decide.h"\n'
                             'proof/a.cpp:2: proof/ may not include "policy/lower.h"\n'))

    def test_the_table_of_the_documentation_decides(self):
        table = ("| folder | what lives here | may include |\n|---|---|---|\n"
                 "| `a/` | x | nothing of ours |\n| `b/` `c/` | x | `a/ d/e/` |\n| `d/e/` | x | all |\n| `f/` | x | |\n")
        self.assertEqual(run({
            "a/x.h": '#include "b/x.h"\n',
            "b/x.h": '#include "a/x.h"\n#include "d/e/x.h"\n#include "c/x.h"\n',
            "d/e/x.h": '#include "b/x.h"\n#include "c/x.h"\n',
            "f/x.h": "\n",
        }, table), (1, 'a/x.h:1: a/ may not include b/ ("b/x.h")\n'
                       'b/x.h:3: b/ may not include c/ ("c/x.h")\n'
                       "f/x.h:1: is in no room of the house\n"))
        self.assertEqual(run({"a/x.h": "\n"}, "no table"), (1, "docs/architecture.md: no table of rooms found\n"))

    def test_tests_are_nobodys_dependency(self):
        self.assertEqual(run({"policy/a.cpp": '#include "tests/support/packets.h"\n'}),
                         (1, 'policy/a.cpp:1: policy/ may not include tests/ ("tests/support/packets.h")\n'))

    def test_a_c_library_stays_in_its_room(self):
        self.assertEqual(run({
            "cli/a.cpp": "#include <bdd.h>\n#include <rte_mbuf.h>\n",
            "fastpath/a.cpp": "#include <rte_eal.h>\n",
            "host/a.cpp": "#include <libnetfilter_conntrack/libnetfilter_conntrack.h>\n",
            "iptc/a.cpp": "#include <libiptc/libip6tc.h>\n#include <linux/netfilter_ipv4/ip_tables.h>\n",
            "conntrack/a.cpp": "#include <linux/netfilter/x_tables.h>\n",
        }), (1, "cli/a.cpp:1: <bdd.h> belongs to proof/ only\n"
                "cli/a.cpp:2: <rte_mbuf.h> belongs to fastpath/dpdk/ only\n"
                "conntrack/a.cpp:1: <linux/netfilter/x_tables.h> belongs to iptc/kernel/ only\n"
                "fastpath/a.cpp:1: <rte_eal.h> belongs to fastpath/dpdk/ only\n"
                "host/a.cpp:1: <libnetfilter_conntrack/libnetfilter_conntrack.h> belongs to conntrack/ only\n"
                "iptc/a.cpp:1: <libiptc/libip6tc.h> belongs to iptc/kernel/ only\n"
                "iptc/a.cpp:2: <linux/netfilter_ipv4/ip_tables.h> belongs to iptc/kernel/ only\n"))

    def test_includes_are_written_from_the_root(self):
        self.assertEqual(run({
            "net/a.cpp": '#include "address.h"\n',
            "net/b.cpp": '#include "net/../policy/policy.h"\n',
        }), (1, 'net/a.cpp:1: "address.h" is not written from the project root\n'
                'net/b.cpp:1: "net/../policy/policy.h" is not written from the project root\n'))

    def test_a_file_outside_every_room_is_named(self):
        self.assertEqual(run({"helpers/a.cpp": "\n"}), (1, "helpers/a.cpp:1: is in no room of the house\n"))

    def test_an_empty_tree_proves_nothing(self):
        self.assertEqual(run({"net/README": ""}), (1, "ROOT: no source file found\n"))


if __name__ == "__main__":
    unittest.main()
