#!/usr/bin/env python3
"""On a terminal: does the screen of `watch --summary` update in place, at 80 columns and on narrow ones; is who waits
told what for?

    screen_test.py PROGRAM PROFILE

PROFILE: the file of the profile `tails`. In a network and a /run of its own; needs root.
"""

import fcntl
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import termios
import time
import unittest

ACCOUNTS = ("debian-tor=107,clearnet=1001,htp=110,tails-upgrade-frontend=112,tails-iuk-get-target-file=111,"
            "Debian-gdm=113,_apt=42,proxy=13")
SEQUENCE = re.compile(r"\x1b\[(\d*)([A-Za-z])")


class Terminal:
    """As much of one as the program uses; whatever else comes is a failure. `scrolled`: the lines that left it at the
    top; `broken`: how often a line was too long."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column = [""] * rows, 0, 0
        self.scrolled, self.broken = [], 0

    def feed(self, text):
        at = 0
        while at < len(text):
            sequence = SEQUENCE.match(text, at)
            if sequence:
                self.obey(int(sequence[1] or 1), sequence[2])
                at = sequence.end()
                continue
            assert text[at] != "\x1b", f"not known: {text[at:at + 8]!r}"
            self.put(text[at])
            at += 1

    def put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            if self.row == self.rows:
                self.scrolled.append(self.lines.pop(0))
                self.lines.append("")
                self.row -= 1
        else:
            if self.column == self.columns:
                self.broken += 1
                self.column = 0
                self.put("\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[:self.column] + character + line[self.column + 1:]
            self.column += 1

    def obey(self, number, command):
        if command == "A":
            self.row = max(0, self.row - number)
        elif command == "H":
            self.row = self.column = 0
        elif command in "JK":
            self.lines[self.row] = self.lines[self.row][:self.column]
            if command == "J":
                self.lines[self.row + 1:] = [""] * (self.rows - self.row - 1)
        else:
            assert command == "m", command


class Screen(unittest.TestCase):
    def start(self, columns, rows, *words):
        child, end = pty.fork()
        if child == 0:
            time.sleep(0.1)  # until the terminal has its size
            os.environ["TERM"] = "xterm"
            os.execv(PROGRAM, [PROGRAM, "--user-map", ACCOUNTS, "--policy", "/run/policy.toml", "watch", *words])
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        # Its group is bound.
        for _ in range(500):
            if os.path.exists("/proc/net/netfilter/nfnetlink_log"):
                with open("/proc/net/netfilter/nfnetlink_log", encoding="ascii") as table:
                    if any(line.split()[0] == "5" for line in table):
                        break
            time.sleep(0.02)
        return child, end

    def read(self, end, terminal, seconds):
        until = time.monotonic() + seconds
        text = b""
        while time.monotonic() < until:
            if select.select([end], [], [], 0.05)[0]:
                try:
                    text += os.read(end, 1 << 16)
                except OSError:  # the program has gone
                    break
        terminal.feed(text.decode())

    @staticmethod
    def send(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for at in range(count):
                try:
                    sender.sendto(b"x", (f"198.51.100.{at % 50 + 1}", 53))
                except OSError:
                    pass

    def test_summary_is_drawn_in_place(self):
        for columns, rows in ((80, 24), (44, 20), (30, 12), (200, 50)):
            with self.subTest(columns=columns):
                child, end = self.start(columns, rows, "--summary")
                terminal = Terminal(columns, rows)
                counts = []
                for _ in range(4):
                    self.send(100)
                    self.read(end, terminal, 0.7)
                    counted = [int(line.split()[0]) for line in terminal.lines if line.endswith(" blocked")]
                    self.assertEqual(len(counted), 1, terminal.lines)
                    counts += counted
                self.assertGreaterEqual(counts[-1], 400)
                self.assertEqual(counts, sorted(counts))
                self.assertGreater(len(set(counts)), 1, "nothing moves")
                self.assertEqual((terminal.scrolled, terminal.broken), ([], 0), "it is not in place")
                self.assertTrue(terminal.lines[0].startswith("times  user"), terminal.lines)
                self.assertTrue(any("root" in line and "udp 198.51.1" in line for line in terminal.lines), terminal.lines)
                self.assertTrue(any(line.startswith("... and ") for line in terminal.lines), terminal.lines)
                # At its end every row is there to be read.
                os.kill(child, 15)
                self.read(end, terminal, 1)
                self.assertEqual(os.waitpid(child, 0)[1], 0)
                os.close(end)
                everything = terminal.scrolled + terminal.lines
                self.assertEqual(sum("udp 198.51.1" in line for line in everything), 50, everything)
                self.assertEqual(terminal.broken, 0)

    def test_who_waits_is_told_what_for(self):
        for path, words in (("/run/xtables.lock", "Putting the rules in place"),
                            ("/run/tails-iptc/lock", "Waiting for another tails-iptc")):
            with self.subTest(path=path), open(path, "w", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                child, end = pty.fork()
                if child == 0:
                    os.environ["TERM"] = "xterm"
                    os.execv(PROGRAM, [PROGRAM, "--user-map", ACCOUNTS, "--policy", "/run/policy.toml", "--wait", "20",
                                       "apply"])
                shown = ""
                try:
                    while True:
                        shown += os.read(end, 4096).decode(errors="replace")
                        if words in shown:
                            fcntl.flock(lock, fcntl.LOCK_UN)
                except OSError:  # the program has gone
                    pass
                os.close(end)
                self.assertIn(words, shown)
                self.assertIn("is in force already", shown)
                # What it waited for is taken away again.
                terminal = Terminal(80, 24)
                terminal.feed(shown)
                self.assertNotIn("…", "".join(terminal.lines))
                self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_second_reader_is_told_why(self):
        child, end = self.start(80, 24)
        second = subprocess.run([PROGRAM, "--user-map", ACCOUNTS, "--policy", "/run/policy.toml", "watch", "--for", "1"],
                                check=False, capture_output=True, text=True)
        self.assertEqual(second.returncode, 3)
        self.assertEqual(second.stderr,
                         "tails-iptc: cannot listen to NFLOG group 5: permission denied (EPERM)\n"
                         "  Another program reads this group: end it, or let the policy log to another group.\n")
        os.kill(child, 15)
        os.waitpid(child, 0)
        os.close(end)


if __name__ == "__main__":
    if sys.argv[1] != "--inside":
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, __file__, "--inside", *sys.argv[1:]])
    PROGRAM = sys.argv[2]
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    with open(sys.argv[3], encoding="utf-8") as profile, open("/run/policy.toml", "w", encoding="utf-8") as policy:
        policy.write(profile.read().replace('log = "kernel"', 'log = "nflog:5"'))
    for words in ("link add eth0 type veth peer name wire0", "link set lo up", "link set wire0 up", "link set eth0 up",
                  "addr add 192.0.2.10/24 dev eth0", "route add default via 192.0.2.1"):
        subprocess.run(["ip", *words.split()], check=True)
    subprocess.run([PROGRAM, "-q", "--user-map", ACCOUNTS, "--policy", "/run/policy.toml", "apply"], check=True)
    unittest.main(argv=sys.argv[:1])
