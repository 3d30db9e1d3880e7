"""App objects of Python's web frameworks, found in source text: nothing is imported, so nothing needs to be installed."""

import ast
import re

# Class or function -> framework and the interface that its objects have.
CLASSES = {
    "apiflask.APIFlask": ("APIFlask", "wsgi"),
    "blacksheep.Application": ("BlackSheep", "asgi"),
    "bottle.Bottle": ("Bottle", "wsgi"),
    "bottle.app": ("Bottle", "wsgi"),
    "bottle.default_app": ("Bottle", "wsgi"),
    "channels.routing.ProtocolTypeRouter": ("Django Channels", "asgi"),
    "django.core.asgi.get_asgi_application": ("Django", "asgi"),
    "django.core.wsgi.get_wsgi_application": ("Django", "wsgi"),
    "falcon.API": ("Falcon", "wsgi"),
    "falcon.App": ("Falcon", "wsgi"),
    "falcon.asgi.App": ("Falcon", "asgi"),
    "fastapi.FastAPI": ("FastAPI", "asgi"),
    "fastapi.applications.FastAPI": ("FastAPI", "asgi"),
    "fasthtml.FastHTML": ("FastHTML", "asgi"),
    "fasthtml.common.FastHTML": ("FastHTML", "asgi"),
    "fasthtml.common.fast_app": ("FastHTML", "asgi"),
    "flask.Flask": ("Flask", "wsgi"),
    "flask.app.Flask": ("Flask", "wsgi"),
    "flask_openapi3.OpenAPI": ("Flask", "wsgi"),
    "litestar.Litestar": ("Litestar", "asgi"),
    "litestar.app.Litestar": ("Litestar", "asgi"),
    "quart.Quart": ("Quart", "asgi"),
    "sanic.Sanic": ("Sanic", "sanic"),
    "socketio.ASGIApp": ("Socket.IO", "asgi"),
    "socketio.WSGIApp": ("Socket.IO", "wsgi"),
    "starlette.applications.Starlette": ("Starlette", "asgi"),
}
FACTORIES = ("create_app", "make_app", "create_application", "build_app", "get_app")
# How many files are read; one that is beyond defines nothing.
MODULES_MAX = 1000
NAMES = ("app", "application", "api", "server")
# For sources that this Python cannot parse, which the app's own may.
PLAIN = re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)*(APIFlask|Flask|FastAPI|Quart|Starlette|Bottle|Litestar|Sanic)\(", re.MULTILINE)
PLAIN_CLASSES = {name.rpartition(".")[2]: found for name, found in CLASSES.items()}


class Found:
    """An app object or a factory of one: its name in its module, and where it is."""

    def __init__(self, name, label, kind, file, line, is_factory=False, is_imported=False):
        self.name, self.label, self.kind, self.file, self.line = name, label, kind, file, line
        self.is_factory, self.is_imported = is_factory, is_imported

    def reason(self):
        what = f"{self.name}()" if self.is_factory else self.name
        return f"{self.label}: {what} in {self.file} line {self.line}"


class Modules:
    """The modules of a tree, each read once."""

    def __init__(self, tree):
        self.tree = tree
        self.read = {}

    def module(self, file):
        if file not in self.read:
            # Known as empty while it is being read: modules may import each other.
            self.read[file] = Module()
            if len(self.read) <= MODULES_MAX:
                try:
                    self.read[file] = Module.of(self, file)
                except RecursionError:
                    # A chain of imports longer than anybody's.
                    pass
        return self.read[file]

    def file_of(self, importer, level, name):
        """The file of the module that a file imports, or None where it is not of this tree."""
        folder = importer.split("/")[:-1]
        bases = [folder[: len(folder) - level + 1]] if level else [[], folder, ["src"], folder[:-1]]
        for base in bases:
            path = "/".join([*base, *filter(None, name.split("."))])
            found = self.tree.first(*([f"{path}.py", f"{path}/__init__.py"] if path else ["__init__.py"]))
            if found:
                return found
        return None


class Module:
    """What one file defines."""

    def __init__(self):
        self.objects = {}
        self.factories = {}
        self.imports = {}
        # Objects of Dash are no WSGI applications: their `server` is one.
        self.dashes = set()
        self.syntax = None

    @classmethod
    def of(cls, modules, file):
        module, text = cls(), modules.tree.text(file)
        try:
            module.syntax = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            for found in PLAIN.finditer(text):
                label, kind = PLAIN_CLASSES[found[2]]
                module.objects[found[1]] = Found(found[1], label, kind, file, text.count("\n", 0, found.start()) + 1)
            return module
        module.walk(modules, file, module.syntax.body)
        return module

    def walk(self, modules, file, body):
        for node in body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self.take_import(modules, file, node)
            elif isinstance(node, ast.ClassDef):
                # A class of the app's own is what its base is.
                known = next(filter(None, (CLASSES.get(self.dotted(base)) for base in node.bases)), None)
                if known:
                    self.imports[node.name] = next(self.dotted(base) for base in node.bases if CLASSES.get(self.dotted(base)))
            elif isinstance(node, ast.FunctionDef):
                self.take_function(file, node)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                self.take_assignment(file, node)
            elif isinstance(node, ast.If) and not is_main(node.test):
                self.walk(modules, file, [*node.body, *node.orelse])
            elif isinstance(node, ast.Try):
                self.walk(modules, file, [*node.body, *[each for handler in node.handlers for each in handler.body], *node.orelse])
            elif isinstance(node, ast.With):
                self.walk(modules, file, node.body)

    def take_import(self, modules, file, node):
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.imports[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]
            return
        name, level = node.module or "", node.level
        for alias in node.names:
            if alias.name == "*":
                self.imports.update({each.rpartition(".")[2]: each for each in CLASSES if each.rpartition(".")[0] == name})
                continue
            local = alias.asname or alias.name
            self.imports[local] = f"{name}.{alias.name}"
            other = modules.file_of(file, level, name)
            theirs = modules.module(other) if other else Module()
            if alias.name in theirs.objects:
                found = theirs.objects[alias.name]
                self.objects[local] = Found(local, found.label, found.kind, file, node.lineno, is_imported=True)
            elif alias.name in theirs.factories:
                found = theirs.factories[alias.name]
                self.factories[local] = Found(local, found.label, found.kind, file, node.lineno, True, True)

    def take_function(self, file, node):
        needed = len(node.args.args) + len(node.args.posonlyargs) - len(node.args.defaults)
        needed += sum(default is None for default in node.args.kw_defaults)
        inner = Module()
        inner.imports = dict(self.imports)
        for each in ast.walk(node):
            if isinstance(each, ast.ImportFrom) and not each.level:
                inner.imports.update({alias.asname or alias.name: f"{each.module}.{alias.name}" for alias in each.names})
        known = [found for each in ast.walk(node) if isinstance(each, ast.Call) and (found := CLASSES.get(inner.dotted(each.func)))]
        if known and not needed:
            self.factories[node.name] = Found(node.name, *known[0], file, node.lineno, True)

    def take_assignment(self, file, node):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if isinstance(node.value, ast.Call) and self.dotted(node.value.func) in ("dash.Dash", "dash.dash.Dash"):
            self.dashes.update(target.id for target in targets if isinstance(target, ast.Name))
        known = self.kind_of(node.value)
        if known:
            for target in targets:
                names = target.elts[:1] if isinstance(target, ast.Tuple) else [target]
                for each in names:
                    if isinstance(each, ast.Name):
                        self.objects[each.id] = Found(each.id, *known, file, node.lineno)

    def kind_of(self, value):
        """Framework and interface of what an expression gives, or None."""
        if isinstance(value, ast.Name) and value.id in self.objects:
            return self.objects[value.id].label, self.objects[value.id].kind
        if isinstance(value, ast.Attribute) and value.attr == "server" and isinstance(value.value, ast.Name) and \
                value.value.id in self.dashes:
            return "Dash", "wsgi"
        if not isinstance(value, ast.Call):
            return None
        if isinstance(value.func, ast.Attribute) and value.func.attr == "make_wsgi_app":
            return "Pyramid", "wsgi"
        if isinstance(value.func, ast.Name) and value.func.id in self.factories:
            found = self.factories[value.func.id]
            return found.label, found.kind
        return CLASSES.get(self.dotted(value.func))

    def dotted(self, node):
        """The full name of what an expression names, as far as imports tell."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imports.get(node.id, node.id), *reversed(parts)])

    def best(self):
        """The object or factory that a server would be given, or None."""
        own = [name for name in NAMES if name in self.objects]
        own += [name for name in self.objects if name not in NAMES]
        if own:
            return self.objects[own[0]]
        return next((self.factories[name] for name in FACTORIES if name in self.factories), None)


def is_main(test):
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
