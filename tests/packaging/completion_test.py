#!/usr/bin/env python3
"""Completion in the shells themselves: what bash, zsh and fish offer for words that a person has begun to type.

    completion_test.py PAGES PROGRAM

PAGES is the folder with the scripts (bash/, zsh/, fish/) that the build made. What must be offered comes from PROGRAM's
own help, so a new command is asked about as soon as it is there.
"""

import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
import unittest

PAGES, PROGRAM = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def help_text(*words):
    return subprocess.run([PROGRAM, *words, "--help"], check=True, capture_output=True, text=True).stdout


def commands():
    """Every command as a list of words: [["apply"], ["session", "add"], ...]."""
    found = []
    for line in help_text().splitlines():
        entry = re.match(r"  ([a-z]+(?: [a-z]+)?)(?:  +\S|$)", line)
        if entry and entry[1] != "sudo tails-iptc":
            found.append(entry[1].split())
    return found


def options(words):
    """[("--format", "save|table|json|dot"), ...] of a command."""
    return re.findall(r"^  (?:-., |    )(--[a-z-]+)(?: (\S+))?", help_text(*words), re.M)


def bash(line):
    words = line.split(" ")
    script = f"source {PAGES}/bash/tails-iptc; COMP_WORDS=({' '.join(repr(w) for w in words)}); "
    script += f"COMP_CWORD={len(words) - 1}; _tails_iptc; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "--norc", "-c", script], check=True, capture_output=True, text=True, env=CLEAN)
    assert not done.stderr, done.stderr
    return set(done.stdout.split())


def fish(line):
    with tempfile.TemporaryDirectory() as home:
        script = f"source {PAGES}/fish/tails-iptc.fish; complete -C '{line}'"
        done = subprocess.run(["fish", "--no-config", "-c", script], check=True, capture_output=True, text=True,
                              env={**CLEAN, "HOME": home})
    assert not done.stderr, done.stderr
    return {entry.split("\t")[0] for entry in done.stdout.splitlines()}


class Zsh:
    """One zsh at a terminal; its completion runs only there."""

    PROMPT = "@@ready@@"

    def __init__(self):
        self.dump = tempfile.TemporaryDirectory()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.clear()
            os.environ.update(CLEAN, COLUMNS="500", LINES="200")
            os.execvp("zsh", ["zsh", "-f", "-i"])
        self.type("PS1='' RPS1='' PROMPT_EOL_MARK=''; stty -echo cols 500 rows 200; unsetopt zle_bracketed_paste\n")
        self.type(f"fpath=({PAGES}/zsh $fpath); autoload -Uz compinit; compinit -u -d {self.dump.name}/dump\n")
        # Offer all without asking, one to a line, and write nothing into the line.
        self.type("LISTMAX=0; zstyle ':completion:*' list-packed no; bindkey '^D' list-choices; "
                  "zstyle ':completion:*' verbose yes\n")
        self.type(f"print {self.PROMPT[:4]}''{self.PROMPT[4:]}\n")
        self.read(until=self.PROMPT)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def read(self, until=None, quiet=0.4, longest=20.0):
        text, end = "", time.monotonic() + longest
        while time.monotonic() < end:
            ready, _, _ = select.select([self.terminal], [], [], quiet if until is None and text.strip() else 1.0)
            if not ready:
                if until is None and text.strip():
                    break
                continue
            text += os.read(self.terminal, 65536).decode(errors="replace")
            if until is not None and until in text:
                break
        return text

    def offers(self, line):
        self.type(line + "\x04")
        text = self.read()
        self.type("\x15")
        self.type(f"\nprint {self.PROMPT[:4]}''{self.PROMPT[4:]}\n")
        text += self.read(until=self.PROMPT)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        return set(re.findall(r"(?:(?<=\s)|^)(-{0,2}[A-Za-z0-9][A-Za-z0-9_-]*)", text.replace("\r", "\n"))) - {line}

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)
        self.dump.cleanup()


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.zsh = Zsh()
        cls.shells = {"bash": bash, "fish": fish, "zsh": cls.zsh.offers}
        cls.commands = commands()

    @classmethod
    def tearDownClass(cls):
        cls.zsh.close()

    def check(self, line, expected, unexpected=()):
        for name, offers in self.shells.items():
            with self.subTest(shell=name, line=line):
                offered = offers(line)
                self.assertLessEqual(set(expected), offered, f"{name} offers {sorted(offered)}")
                self.assertFalse(set(unexpected) & offered, f"{name} offers {sorted(offered)}")

    def test_every_command_is_offered(self):
        self.assertGreater(len(self.commands), 10)
        self.check("tails-iptc ", {words[0] for words in self.commands})

    def test_the_second_word_of_a_family(self):
        for family in {words[0] for words in self.commands if len(words) == 2}:
            self.check(f"tails-iptc {family} ", {w[1] for w in self.commands if w[0] == family and len(w) == 2}, {"apply"})

    def test_what_is_begun_narrows_what_is_offered(self):
        for name in ("bash", "fish"):
            self.assertEqual(self.shells[name]("tails-iptc reco"), {"reconfigure"})

    def test_every_option_of_every_command(self):
        for words in self.commands:
            wanted = {name for name, _ in options(words)}
            if wanted:
                self.check(f"tails-iptc {' '.join(words)} --", wanted)

    def test_options_before_the_command(self):
        self.check("tails-iptc --", {"--policy", "--user-map", "--wait", "--json", "--color"})
        self.check("tails-iptc --policy tails ", {"apply", "status"})
        self.check("tails-iptc --policy tails show --format ", {"save", "table"}, {"apply"})

    def test_choices_of_every_option(self):
        count = 0
        for words in self.commands:
            for name, value in options(words):
                if "|" in value and value == value.lower():
                    count += 1
                    self.check(f"tails-iptc {' '.join(words)} {name} ", set(value.split("|")))
        self.assertGreater(count, 2)

    def test_choices_of_operands_and_policies(self):
        self.check("tails-iptc completion ", {"bash", "zsh", "fish"})
        self.check("tails-iptc --policy ", {"tails", "tails-i2p", "tails-classic"})
        self.check("tails-iptc prove ", {"live", "tails-classic"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
