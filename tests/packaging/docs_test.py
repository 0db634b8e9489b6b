#!/usr/bin/env python3
"""What the pages for people say of the command line is so: every `tails-iptc …` in them names a command and options that
the program knows, every command is named by README or docs/cli.md, and every link between the pages leads somewhere.

    docs_test.py SOURCE PROGRAM
"""

import functools
import pathlib
import re
import subprocess
import sys

SOURCE, PROGRAM = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
PAGES = [SOURCE / "README.md", SOURCE / "CONTRIBUTING.md", *sorted((SOURCE / "docs").glob("*.md"))]
wrong = []


@functools.cache
def help_of(*words):
    done = subprocess.run([PROGRAM, *words, "--help"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


OVERVIEW = help_of()
COMMANDS = {tuple(name.split()) for name in re.findall(r"^  ([a-z]+(?: [a-z]+)?)(?:  +\S.*)?$", OVERVIEW, re.M)} - {("sudo",)}


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


GLOBAL = options(OVERVIEW) | {"--help", "--version", "--quiet", "--verbose"}


def check(place, call):
    """`call`: the words after "tails-iptc", as typed."""
    words = call.split()
    command, given = None, set()
    while words:
        word = words.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            given.add(re.match(r"--[a-z-]*", word)[0])
        elif command is None and re.fullmatch(r"[a-z]+", word):
            two = (word, words[0]) if words else None
            command = two if two in COMMANDS else (word,)
            families = {name[0] for name in COMMANDS}
            if command not in COMMANDS and not (len(words) == 0 and word in families):
                # The value of an option before the command, or words that are no command.
                command = None
                if not given:
                    wrong.append(f"{place}: no command \"{word}\" in `tails-iptc {call}`")
                    return
    known = GLOBAL | (options(help_of(*command)) if command in COMMANDS else set())
    for option in sorted(given - known):
        wrong.append(f"{place}: `tails-iptc {call}`: no option {option}")


def main():
    named, calls = set(), 0
    for page in PAGES:
        text = page.read_text()
        where = page.relative_to(SOURCE)
        blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S)
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
        typed = [line for block in blocks for line in block.splitlines() if line.startswith(("$ ", "sudo ", "tails-iptc "))]
        for code in spans + typed:
            for call in re.findall(r"(?:^|[\s(])tails-iptc ((?:(?!&&|\||;|>|\)|#).)*)", code):
                call = call.replace("…", " ").replace("[", " ").replace("]", " ").strip()
                if not re.match(r"-|[a-z]", call):
                    continue
                calls += 1
                check(where, call)
        named |= {name for name in COMMANDS if re.search(rf"\b{' '.join(name)}\b", text)}
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                wrong.append(f"{where}: nothing at {target}")
    for name in sorted(COMMANDS - named):
        wrong.append(f"no page names the command \"{' '.join(name)}\"")
    print(*wrong, sep="\n")
    print(f"{calls} calls in {len(PAGES)} pages, {len(COMMANDS)} commands, {len(wrong)} wrong")
    return 1 if wrong or calls < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
