#!/usr/bin/env python3
"""Upstream's acceptance checks of the profile "tails", on the output of iptables-xml.

    upstream_checks.py FILTER4 NAT4 FILTER6 --direct UID [--direct UID ...]

FILTER4 and so on are files with `iptables-save -c -t TABLE | iptables-xml`. Prints one line for each rule or policy that
upstream's test suite would not accept, and exits with 1; with 0 where there is none.
"""

import argparse
import sys
import xml.etree.ElementTree as ElementTree

LAN = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}
CLEARNET_GUEST = {"10.200.1.16/30", "10.200.1.18/30"}
STOPPING = {"DROP", "REJECT", "LOG"}

complaints = []


def complain(what, rule=None):
    complaints.append(what if rule is None else f"{what}: {ElementTree.tostring(rule, encoding='unicode').split()!r}")


def chains(path):
    """(name, policy, rules) of each chain."""
    for chain in ElementTree.parse(path).getroot().findall("table/chain"):
        yield chain.get("name"), chain.get("policy"), chain.findall("rule")


def text(rule, path):
    element = rule.find(path)
    return None if element is None else (element.text or "").strip()


def actions(rule):
    """Names of the targets; a jump to a chain is ("call", chain)."""
    found = []
    for action in rule.findall("actions/*"):
        found.append(("call", action[0].tag) if action.tag in ("call", "goto") else (action.tag, None))
    return found


def check_policies(path):
    seen = {}
    for name, policy, _ in chains(path):
        seen[name] = policy
    for name in ("INPUT", "OUTPUT", "FORWARD"):
        if seen.get(name) != "DROP":
            complain(f"the policy of {name} is {seen.get(name)}")


def may_leave(rule):
    """Whether it may let something out by another interface than lo."""
    out = rule.find("conditions/match/o")
    return out is None or (out.text.strip() == "lo" and out.get("invert") == "1")


def check_output(path, direct_users):
    granted = set()
    for name, _, rules in chains(path):
        if name != "OUTPUT":
            continue
        for rule in rules:
            destination = text(rule, "conditions/match/d")
            for action, chain in actions(rule):
                if action in STOPPING or not may_leave(rule):
                    continue
                if action == "ACCEPT" and destination in (None, "0.0.0.0/0"):
                    if text(rule, "conditions/state/state") == "ESTABLISHED":
                        continue
                    owner = text(rule, "conditions/owner/uid-owner")
                    if owner is None or int(owner) not in direct_users:
                        complain("OUTPUT grants the network to somebody else", rule)
                    else:
                        granted.add(int(owner))
                elif action == "call" and chain == "lan" and destination in LAN:
                    continue
                elif action == "call" and chain == "log_reject":
                    continue
                else:
                    complain("unexpected rule in OUTPUT", rule)
    if granted != direct_users:
        complain(f"OUTPUT grants the network to {sorted(granted)} and not to {sorted(direct_users)}")


def is_known_redirect(rule):
    port = text(rule, "actions/REDIRECT/to-ports")
    destination = text(rule, "conditions/match/d")
    if [name for name, _ in actions(rule)] != ["REDIRECT"]:
        return False
    if destination == "127.192.0.0/10":
        return port == "9040"
    return destination == "127.0.0.1/32" and text(rule, "conditions/udp/dport") == "53" and port == "5353"


def check_nat(path):
    for name, _, rules in chains(path):
        if name == "OUTPUT":
            if len(rules) != 2:
                complain(f"nat OUTPUT has {len(rules)} rules")
            for rule in rules:
                if not is_known_redirect(rule):
                    complain("unexpected rule in nat OUTPUT", rule)
        elif name == "POSTROUTING":
            if len(rules) != 1:
                complain(f"nat POSTROUTING has {len(rules)} rules")
            for rule in rules:
                if actions(rule) != [("MASQUERADE", None)] or text(rule, "conditions/match/s") not in CLEARNET_GUEST:
                    complain("unexpected rule in nat POSTROUTING", rule)
        elif rules:
            complain(f"nat {name} is not empty")


def check_ipv6(path):
    for name, policy, rules in chains(path):
        if policy != "DROP":  # a user chain has none
            complain(f"IPv6: the policy of {name} is {policy}")
        for rule in rules:
            if any(action in STOPPING for action, _ in actions(rule)):
                continue
            if text(rule, "conditions/match/s") != "::1/128" or text(rule, "conditions/match/d") != "::1/128":
                complain("IPv6: a rule that is not about ::1 alone", rule)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("filter4")
    parser.add_argument("nat4")
    parser.add_argument("filter6")
    parser.add_argument("--direct", type=int, action="append", required=True)
    arguments = parser.parse_args()
    check_policies(arguments.filter4)
    check_output(arguments.filter4, set(arguments.direct))
    check_nat(arguments.nat4)
    check_ipv6(arguments.filter6)
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
