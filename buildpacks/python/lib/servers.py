"""Servers of Python's web interfaces, and the command lines by which they find an app and the port."""

from starts import Refused, word

WSGI_SERVERS = {
    "gunicorn": lambda place: f"gunicorn {place.chdir('--chdir')}{word(place.target)}",
    "waitress": lambda place: f"{place.cd}waitress-serve --host=0.0.0.0 --port=$PORT {'--call ' if place.is_factory else ''}{place.plain}",
    "uwsgi": lambda place: f"uwsgi --http 0.0.0.0:$PORT --master --die-on-term {place.chdir('--chdir')}--module {word(place.target)}",
    "granian": lambda place: f"{place.cd}granian --interface wsgi --host 0.0.0.0 --port $PORT {place.factory}{place.plain}",
    "hypercorn": lambda place: f"{place.cd}hypercorn --bind 0.0.0.0:$PORT wsgi:{word(place.target)}",
}
ASGI_SERVERS = {
    "uvicorn": lambda place: f"uvicorn {place.chdir('--app-dir')}{place.factory}{place.plain} --host 0.0.0.0 --port $PORT",
    "hypercorn": lambda place: f"{place.cd}hypercorn --bind 0.0.0.0:$PORT {word(place.target)}",
    "daphne": lambda place: f"{place.cd}daphne -b 0.0.0.0 -p $PORT {place.plain}",
    "granian": lambda place: f"{place.cd}granian --interface asgi --host 0.0.0.0 --port $PORT {place.factory}{place.plain}",
}


class Place:
    """Where a server finds an app: MODULE:NAME, from a folder."""

    def __init__(self, folder, module, name, is_factory=False):
        self.folder, self.module, self.name, self.is_factory = folder, module, name, is_factory
        self.plain = f"{module}:{name}"
        self.target = f"{module}:{name}()" if is_factory else self.plain
        self.factory = "--factory " if is_factory else ""
        self.cd = f"cd {word(folder)} && " if folder else ""

    def chdir(self, option):
        return f"{option} {word(self.folder)} " if self.folder else ""


def refuse_without_server(packages, label, reason, server, instead):
    raise Refused(f"This is a {label} app ({reason}), and nothing that {packages.file} asks for serves one ({server}, for example).",
                  f"{packages.how_to_add(server)}", f"Then commit and push again.{instead}")
