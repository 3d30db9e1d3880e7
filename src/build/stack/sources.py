"""sources.py texts: puts right, in the pushed tree in the current folder, what editors of other systems left in files that
    programs of Linux read: byte order marks, UTF-16, line ends. What could surprise anybody is said.
sources.py programs FILE: looks, once the tree is built, at the programs that the Procfile, or the release file FILE, starts.
    What can never start is refused for web and release, with what to type; for other types, which may never be scaled, it
    is a warning.
"""

import codecs
import glob
import os
import re
import shlex
import shutil
import stat
import sys

# Files that buildpacks, and the tools that they call, read as text.
TEXTS = [
    "Procfile", "app.json", "Aptfile", "static.json", ".static", "slipway-build.toml", "mise.toml", ".tool-versions",
    "requirements*.txt", "requirements/*.txt", "constraints*.txt", "runtime.txt", ".python-version", "Pipfile", "Pipfile.lock",
    "pyproject.toml", "setup.cfg", "uv.lock", "poetry.lock", "package.json", "package-lock.json", "npm-shrinkwrap.json",
    "yarn.lock", "pnpm-lock.yaml", "pnpm-workspace.yaml", ".nvmrc", ".node-version", ".npmrc", ".yarnrc", ".yarnrc.yml", "Gemfile",
    "Gemfile.lock", ".ruby-version", "composer.json", "composer.lock", ".php-version", "system.properties", ".java-version",
    "go.mod", "go.sum", ".go-version", "Cargo.toml", "Cargo.lock", "rust-toolchain", "rust-toolchain.toml",
]
# No file that is put right is larger.
TEXT_MAX = 16 << 20
SCRIPT_MAX = 1 << 20
# How many of the changed scripts are named.
NAMED = 5
# What tools install, or git keeps, is not the author's.
NOT_OWN = {".git", "node_modules", "vendor", "site-packages", ".venv", "venv"}
SCRIPT_FOLDERS = {"bin", "scripts", "script"}


def warn(*lines):
    for line in lines:
        print(" !     " + re.sub(r"[\x00-\x1f\x7f]+", " ", line), flush=True)


def fail(*lines):
    warn(*lines)
    sys.exit(1)


def is_own_file(path):
    return stat.S_ISREG(os.lstat(path).st_mode)


def rewrite(path, content):
    """In place, with the mode that the file has."""
    with open(path, "wb") as file:
        file.write(content)


def decoded(name, content):
    """The text, and how it was encoded where that is worth a line."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        fail(f"{name} is UTF-32 text: save it as UTF-8, commit and push again.")
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16"), "UTF-16"
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            fail(f"{name} begins as UTF-16 text and is damaged: save it as UTF-8, commit and push again.")
        if 0 in content:
            fail(f"{name} holds zero bytes, as UTF-16 text without its byte order mark does: save it as UTF-8, commit and push again.")
        line = content.count(b"\n", 0, error.start) + 1
        return content.decode("cp1252", "replace"), f"not UTF-8 (line {line}), taken as Windows-1252"
    if "\0" in text:
        fail(f"{name} holds zero bytes, as UTF-16 text without its byte order mark does: save it as UTF-8, commit and push again.")
    return text, ""


def installable(name, text):
    """Requirements without the package that Debian's `pip freeze` lists and no index has."""
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if re.match(r"\s*pkg[-_.]resources\s*==\s*0\.0\.0\b", line, re.IGNORECASE):
            warn(f"{name} line {number}: pkg-resources==0.0.0 is left out. It is no package: an error of Debian's pip freeze; delete the line.")
            lines[number - 1] = "# " + line
        found = re.match(r"\s*([A-Za-z0-9._-]+)\s*@\s*file://(/\S*)", line)
        if found and not os.path.exists(found[2]):
            warn(f"{name} line {number}: {found[1]} is a file of the machine that wrote the line, as conda's pip freeze has it.",
                 f"Write its version instead, or the whole file anew: pip list --format=freeze > {name}")
    return "\n".join(lines)


def texts():
    for pattern in TEXTS:
        for name in sorted(glob.glob(pattern)):
            if not is_own_file(name) or os.path.getsize(name) > TEXT_MAX:
                continue
            with open(name, "rb") as file:
                content = file.read()
            text, encoding = decoded(name, content)
            if encoding:
                warn(f"{name} is {encoding}. Save it as UTF-8.")
            text = text.replace("\r\n", "\n")
            if "requirements" in name:
                text = installable(name, text)
            plain = text.encode()
            if plain != content:
                rewrite(name, plain)
    scripts()


def may_be_script(folder, name, path):
    """Told by the name, or else by the mode: opening each file of a tree takes too long."""
    if name.endswith((".sh", ".bash")):
        return True
    plain = "." not in name and (folder == "." or os.path.basename(folder) in SCRIPT_FOLDERS)
    return plain or os.access(path, os.X_OK)


def scripts():
    """Makes scripts run that were saved on Windows: no shell, and no kernel, takes their line ends."""
    changed = []
    for folder, folders, names in os.walk("."):
        folders[:] = sorted(name for name in folders if name not in NOT_OWN)
        for name in sorted(names):
            path = os.path.normpath(os.path.join(folder, name))
            if not is_own_file(path) or not may_be_script(folder, name, path) or os.path.getsize(path) > SCRIPT_MAX:
                continue
            with open(path, "rb") as file:
                head = file.read(256)
                is_script = head.removeprefix(codecs.BOM_UTF8).startswith(b"#!") or name.endswith((".sh", ".bash"))
                if not is_script or (b"\r\n" not in head and not head.startswith(codecs.BOM_UTF8)):
                    continue
                content = head + file.read()
            if 0 not in content:
                rewrite(path, content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n"))
                changed.append(path)
    if changed:
        more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        has = "has" if len(changed) == 1 else "have"
        warn(f"{', '.join(changed[:NAMED])}{more} {has} Windows line ends, which nothing here can run: this build runs them with those of Linux.",
             "To have them so in the repository: echo '*.sh text eol=lf' >> .gitattributes && git add --renormalize . && git commit -m 'Line ends'")


def commands(release):
    """Process types and commands: the Procfile's, else those that the buildpack gives."""
    if os.path.isfile("Procfile"):
        pattern, path = r"([A-Za-z0-9_-]+):\s*(.+)", "Procfile"
    else:
        pattern, path = r"\s+([A-Za-z0-9_-]+):\s*(.+)", release
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return []
    found = [re.fullmatch(pattern, line.rstrip()) for line in lines]
    return [(match[1], match[2].strip("\"' ") if path != "Procfile" else match[2]) for match in found if match]


def program_of(command):
    """The file of the tree that a command plainly starts, or None: anything else is the shell's to find."""
    try:
        words = shlex.split(command, comments=False)
    except ValueError:
        return None
    while words and (words[0] == "exec" or re.match(r"[A-Za-z_][A-Za-z0-9_]*=", words[0])):
        words.pop(0)
    if not words or not re.fullmatch(r"[A-Za-z0-9._/-]+", words[0]):
        return None
    path = words[0].removeprefix("/app/")
    return os.path.normpath(path) if "/" in words[0] and not path.startswith("/") else None


def trouble(path):
    """Why a file of the tree cannot be started, in lines; none where it can, or where that cannot be told."""
    if not os.path.isfile(path):
        return []
    if not os.access(path, os.X_OK):
        return [f"{path}, which is not executable. Type:",
                f"  git update-index --chmod=+x {shlex.quote(path)} && git commit -m 'Make {path} executable'"]
    with open(path, "rb") as file:
        first = file.read(256).split(b"\n")[0]
    if not first.startswith(b"#!"):
        return []
    if first.endswith(b"\r"):
        return [f"{path}, which has Windows line ends, so that its first line names no program. Type:",
                "  echo '*.sh text eol=lf' >> .gitattributes && git add --renormalize . && git commit -m 'Line ends'"]
    words = first[2:].decode("utf-8", "replace").split()
    if not words:
        return []
    interpreter = words[0]
    if interpreter.startswith("/") and not os.path.exists(interpreter):
        name = os.path.basename(interpreter)
        instead = shutil.which(name)
        advice = f"Write #!/usr/bin/env {name} there" if instead else "Write another one there, for example #!/bin/bash"
        return [f"{path}, whose first line asks for {interpreter}, which stack {os.environ.get('STACK', '')} does not have.",
                f"{advice}, commit and push again."]
    return []


def programs(release):
    for kind, command in commands(release):
        path = program_of(command)
        lines = trouble(path) if path else []
        if lines:
            lines[0] = f"{kind} is started by {lines[0]}"
            (fail if kind in ("web", "release") else warn)(*lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["texts"]:
        texts()
    else:
        programs(sys.argv[2])
