"""Names of the packages that an app asks for, read from its files before anything is installed."""

import re

# What is installed along with a package whose own requirements are not in the file.
BRINGS = {
    "fastapi[standard]": "uvicorn", "fastapi[all]": "uvicorn", "fastapi[standard-no-fastapi-cloud-cli]": "uvicorn",
    "fastapi-cli": "uvicorn", "uvicorn-worker": "uvicorn", "litestar[standard]": "uvicorn", "channels[daphne]": "daphne",
    "starlette[full]": "", "python-fasthtml": "uvicorn", "gradio": "uvicorn",
}
NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[([^\]]*)\])?")
OTHER_SYSTEM = re.compile(r"(sys_platform|platform_system|os_name)\s*==\s*['\"](win32|Windows|nt|darwin|Darwin)['\"]")


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


class Packages:
    """Where each package is asked for, by name; and how another one is added."""

    def __init__(self, tree):
        self.tree = tree
        self.places = {}
        sources = [
            ("requirements.txt", self.read_requirements), ("uv.lock", self.read_uv), ("poetry.lock", self.read_poetry),
            ("Pipfile.lock", self.read_pipenv), ("pyproject.toml", self.read_pyproject), ("setup.py", self.read_setup),
        ]
        self.file, read = next(((name, read) for name, read in sources if tree.has(name)), ("requirements.txt", None))
        if read:
            read(self.file)

    def __contains__(self, name):
        return name in self.places

    def first(self, *names):
        return next((name for name in names if name in self.places), None)

    def how_to_add(self, name):
        how = {
            "uv.lock": f"Type uv add {name}", "poetry.lock": f"Type poetry add {name}", "Pipfile.lock": f"Type pipenv install {name}",
            "pyproject.toml": f'Add "{name}" to dependencies in pyproject.toml', "setup.py": f'Add "{name}" to install_requires in setup.py',
        }
        return how.get(self.file, f"Add this line to requirements.txt: {name}")

    def add(self, text, place):
        """Takes one requirement as PEP 508 writes it."""
        found = NAME.match(text)
        if not found or OTHER_SYSTEM.search(text.partition(";")[2]):
            return
        name = canonical(found[1])
        self.places.setdefault(name, place)
        for key in [name, *(f"{name}[{canonical(extra.strip())}]" for extra in (found[2] or "").split(","))]:
            if BRINGS.get(key):
                self.places.setdefault(BRINGS[key], place)

    def read_requirements(self, file, seen=()):
        folder = file.rpartition("/")[0]
        for number, line in enumerate(self.tree.text(file).splitlines(), 1):
            line = re.sub(r"(^|\s)#(?!egg=).*", "", line).strip()
            place = f"{file} line {number}"
            other = re.match(r"(?:-r|--requirement)[\s=]*(\S+)", line)
            egg = re.search(r"[#&]egg=([^&\s]+)", line)
            wheel = re.search(r"([^/\s]+?)-[^/\s]*\.whl", line)
            if other:
                name = f"{folder}/{other[1]}" if folder else other[1]
                name = name.removeprefix("./")
                if name not in seen and len(seen) < 20:
                    self.read_requirements(name, (*seen, file))
            elif egg:
                self.add(egg[1], place)
            elif re.match(r"https?://|\./|file:", line):
                self.add(wheel[1] if wheel else "", place)
            elif line and not line.startswith("-"):
                self.add(line, place)

    def place(self, file, name):
        return self.tree.at(file, rf"""^name = "{re.escape(name)}"$""")

    def read_uv(self, file):
        packages = {package.get("name"): package for package in self.tree.toml(file).get("package", [])}
        roots = [package for package in packages.values()
                 if "." in (package.get("source", {}).get(kind) for kind in ("editable", "virtual", "directory"))]
        todo = [entry for root in roots for entry in root.get("dependencies", [])]
        seen = set()
        while todo:
            entry = todo.pop()
            key = (entry.get("name"), tuple(entry.get("extra", [])))
            package = packages.get(entry.get("name"))
            if key in seen or package is None:
                continue
            seen.add(key)
            self.add(package["name"] + ";" + entry.get("marker", ""), self.place(file, package["name"]))
            todo += package.get("dependencies", [])
            for extra in entry.get("extra", []):
                todo += package.get("optional-dependencies", {}).get(extra, [])

    def read_poetry(self, file):
        for package in self.tree.toml(file).get("package", []):
            groups = package.get("groups") or [package.get("category", "main")]
            if "main" in groups and not package.get("optional"):
                self.add(package["name"], self.place(file, package["name"]))

    def read_pipenv(self, file):
        for name, entry in (self.tree.json(file) or {}).get("default", {}).items():
            extras = ",".join(entry.get("extras", [])) if isinstance(entry, dict) else ""
            self.add(f"{name}[{extras}]", self.tree.at(file, rf'"{re.escape(name)}": '))

    def read_pyproject(self, file):
        for entry in self.tree.toml(file).get("project", {}).get("dependencies", []):
            self.add(str(entry), self.tree.at(file, rf"""["']{re.escape(str(entry))}["']"""))

    def read_setup(self, file):
        listed = re.search(r"install_requires\s*=\s*\[(.*?)\]", self.tree.text(file), re.DOTALL)
        for entry in re.findall(r"""["']([^"']+)["']""", listed[1] if listed else ""):
            self.add(entry, self.tree.at(file, re.escape(entry)))
        listed = re.search(r"^install_requires\s*=\s*((?:\s+\S.*\n?)+)", self.tree.text("setup.cfg"), re.MULTILINE)
        for entry in (listed[1] if listed else "").splitlines():
            self.add(entry, self.tree.at("setup.cfg", re.escape(entry)))
