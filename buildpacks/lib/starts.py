"""What the programs `lib/start` of the built-in buildpacks share.

`lib/start BUILD_DIR ENV_DIR` reads the tree, before anything is installed, and says what starts the app. It prints

    TYPE <tab> COMMAND <tab> REASON [<tab> SHOWN]   for each process type; SHOWN stands for the command in what is told
    =NAME <tab> VALUE                               for what bin/compile has to know besides

and ends with status 0. With status 3 it prints why nothing can be started and the line to write into a Procfile.
`choose_start` of start.sh reads all of it.
"""

import json
import os
import re
import sys
import tomllib

# No file that decides is larger; what is beyond is not looked at.
READ_MAX = 1 << 20

# How many files of a tree are looked at when one is searched.
FILES_MAX = 20_000

# Where nobody keeps what starts an app: what tools install or write, and what is written for tests.
NOT_SOURCES = {
    "__pycache__", "bower_components", "build", "dist", "docs", "env", "examples", "migrations", "node_modules", "site-packages",
    "target", "test", "testdata", "tests", "vendor", "venv",
}

# Exit status of a refusal; any other one than 0 is an error of the program itself.
REFUSED = 3


class Refused(Exception):
    """Nothing can be started: the lines that say why, and what to write."""


class Tree:
    """The pushed tree, read by paths relative to its root."""

    def __init__(self, root, env_dir=None):
        self.root = root
        self.env_dir = env_dir
        self.texts = {}

    def path(self, name):
        return os.path.join(self.root, name)

    def has(self, name):
        return os.path.isfile(self.path(name))

    def has_folder(self, name):
        return os.path.isdir(self.path(name))

    def is_program(self, name):
        return self.has(name) and os.access(self.path(name), os.X_OK)

    def first(self, *names):
        """The first of the files that is there, or None."""
        return next((name for name in names if self.has(name)), None)

    def text(self, name):
        """Its text, without a byte order mark; empty where there is no such file."""
        if name not in self.texts:
            text = ""
            if self.has(name):
                with open(self.path(name), "rb") as file:
                    text = file.read(READ_MAX).decode("utf-8-sig", "replace")
            self.texts[name] = text
        return self.texts[name]

    def json(self, name):
        """The object in it, or None where the file is absent or no such thing, which is for whoever installs to say."""
        try:
            value = json.loads(self.text(name))
        except ValueError:
            value = None
        return value if isinstance(value, dict) else None

    def toml(self, name):
        try:
            return tomllib.loads(self.text(name))
        except tomllib.TOMLDecodeError:
            return {}

    def line(self, name, pattern):
        """Number of the line that the pattern is first found in, or None. White space that a match begins with is none of it."""
        text = self.text(name)
        found = re.search(pattern, text, re.MULTILINE)
        return text.count("\n", 0, found.end() - len(found[0].lstrip())) + 1 if found else None

    def at(self, name, pattern):
        """The place for a reason: `FILE line N`, or the file alone."""
        number = self.line(name, pattern)
        return f"{name} line {number}" if number else name

    def key_at(self, name, *keys):
        """The place of a member of a JSON object: each key after the one that holds it."""
        text, end, place = self.text(name), 0, name
        for key in keys:
            found = re.compile(re.escape(json.dumps(key)) + r"\s*:").search(text, end)
            if not found:
                break
            end = found.end()
            place = f"{name} line {text.count(chr(10), 0, found.start()) + 1}"
        return place

    def config_var(self, name):
        """A config var of the app, or None."""
        try:
            with open(os.path.join(self.env_dir or "", name), encoding="utf-8", errors="replace") as file:
                return file.read(READ_MAX)
        except OSError:
            return None

    def files(self, suffix, depth=8, skipped=NOT_SOURCES):
        """Files below the root whose paths end so, those nearer to it first, then by name."""
        found, seen = [], 0
        for folder, folders, names in os.walk(self.root):
            below = os.path.relpath(folder, self.root)
            level = 0 if below == "." else below.count(os.sep) + 1
            folders[:] = [name for name in folders if level < depth and not name.startswith((".", "_")) and name not in skipped]
            seen += len(names)
            if seen > FILES_MAX:
                break
            paths = (os.path.normpath(os.path.join(below, name)) for name in names)
            found += [path for path in paths if path.endswith(suffix)]
        return sorted(found, key=lambda name: (name.count(os.sep), name))


def word(text):
    """One word of a shell command."""
    return text if re.fullmatch(r"[A-Za-z0-9_./:@%+=,-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def printed(text):
    """On one line, whatever a tenant has in a file."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()


class Answer:
    """What is printed."""

    def __init__(self):
        self.lines = []

    def start(self, kind, command, reason, shown=""):
        self.lines.append("\t".join(filter(None, [kind, *map(printed, [command, reason, shown])])))

    def note(self, name, value):
        self.lines.append(f"={name}\t{printed(value)}")


def run(decide, hooks=()):
    """Calls decide(tree, answer). A tree with one of the hooks may get its Procfile from it: then nothing is refused yet."""
    tree, answer = Tree(*sys.argv[1:3]), Answer()
    try:
        decide(tree, answer)
    except Refused as refused:
        if any(tree.is_program(hook) for hook in hooks):
            return
        print("\n".join(re.sub(r"[\x00-\x1f\x7f]+", " ", line).rstrip() for line in refused.args))
        sys.exit(REFUSED)
    print("\n".join(answer.lines))


def lines_to_write(*commands):
    """The end of a refusal: what to write into a Procfile, one of these."""
    which = "this line" if len(commands) == 1 else "one of these lines"
    return [f"Write {which} into a file named Procfile, commit and push again:", *(f"  web: {command}" for command in commands)]
