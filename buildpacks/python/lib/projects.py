"""Django's projects: which application of which settings is served."""

import re

from servers import ASGI_SERVERS, WSGI_SERVERS, Place, refuse_without_server
from starts import Refused, lines_to_write


def siblings(tree, folder):
    return [name for name in tree.files(".py", depth=folder.count("/") + 1) if name.rpartition("/")[0] == folder]


def django(tree, packages, answer):
    """`manage.py` names the settings, and these the application: docs.djangoproject.com/en/stable/howto/deployment."""
    manage = next((name for name in tree.files("manage.py", depth=2) if name.rpartition("/")[2] == "manage.py"
                   and "DJANGO_SETTINGS_MODULE" in tree.text(name)), None)
    if manage is None:
        return False
    folder = manage.rpartition("/")[0]
    below = f"{folder}/" if folder else ""
    named = re.search(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""", tree.text(manage))
    settings = settings_files(tree, below + named[1].replace(".", "/")) if named else []
    found = {kind: application(tree, folder, settings, kind, named and named[1]) for kind in ("wsgi", "asgi")}
    # Only an app that asks for ASGI gets it: each project has an asgi.py.
    wants_asgi = found["asgi"] and "ASGI_APPLICATION" in found["asgi"][1]
    order = ["asgi", "wsgi"] if wants_asgi and packages.first(*ASGI_SERVERS) else ["wsgi", "asgi"]
    for kind in order:
        servers = ASGI_SERVERS if kind == "asgi" else WSGI_SERVERS
        server = packages.first(*servers)
        if found[kind] and server:
            place, reason = found[kind]
            if server == "gunicorn" and place.name == "application":
                # As Django's documentation has it: the name is gunicorn's own default.
                place.target = place.module
            answer.start("web", servers[server](place), f"Django: {reason}")
            return True
    if not any(found.values()):
        raise Refused(f"This is a Django project ({manage}), but neither its settings (WSGI_APPLICATION) nor a wsgi.py say what serves it.",
                      *lines_to_write("gunicorn NAME.wsgi"))
    refuse_without_server(packages, "Django", (found["wsgi"] or found["asgi"])[1], "gunicorn" if found["wsgi"] else "uvicorn", "")


def settings_files(tree, path):
    if tree.has(f"{path}.py"):
        # Settings that are split have their base beside them or in the file that they import.
        return [f"{path}.py", *(name for name in siblings(tree, path.rpartition("/")[0]) if name != f"{path}.py")]
    return siblings(tree, path)


def application(tree, folder, settings, kind, named):
    """(Place, reason) of the WSGI or ASGI application, or None."""
    setting = f"{kind.upper()}_APPLICATION"
    for file in settings:
        pattern = rf"""^\s*{setting}\s*(?::[^=\n]+)?=\s*["']([\w.]+)\.(\w+)["']"""
        found = re.search(pattern, tree.text(file), re.MULTILINE)
        if found:
            return Place(folder, found[1], found[2]), f"{setting} in {tree.at(file, pattern)}"
    below = f"{folder}/" if folder else ""
    beside = f"{below}{(named or '').split('.')[0]}/{kind}.py" if named else ""
    file = tree.first(*filter(None, [beside, f"{below}{kind}.py", f"{below}config/{kind}.py"]))
    file = file or next((name for name in tree.files(f"/{kind}.py", depth=4) if name.startswith(below)), None)
    if file is None:
        return None
    module = file[len(below):].removesuffix(".py").replace("/", ".")
    return Place(folder, module, "application"), tree.at(file, r"^application\s*=")
