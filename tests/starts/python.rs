//! Python: Django, app objects and factories of web frameworks, Streamlit, Gradio, plain programs.

use crate::tree::{Tree, refused, starts};

const FLASK: &str = "from flask import Flask\n\napp = Flask(__name__)\n";
const FASTAPI: &str = "import fastapi\napp = fastapi.FastAPI(title='x')\n";
const FACTORY: &str =
    "from flask import Flask\n\ndef create_app(test_config=None):\n    app = Flask(__name__)\n    return app\n";
const MANAGE: &str = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n";
const SETTINGS: &str = "DEBUG = False\n\nWSGI_APPLICATION = 'mysite.wsgi.application'\n";
const BOTH_SERVERS: &str = "gunicorn\nuvicorn[standard]\n";

#[track_caller]
fn python(files: &[(&str, &str)], expected: &str) {
    starts("python", files, expected);
}

#[test]
fn django_is_served_by_what_its_settings_name() {
    let manage = ("manage.py", MANAGE);
    let django = ("requirements.txt", "Django==5.2\ngunicorn==23.0\n");
    python(
        &[manage, django, ("mysite/settings.py", SETTINGS), ("mysite/wsgi.py", "")],
        "gunicorn mysite.wsgi (Django: WSGI_APPLICATION in mysite/settings.py line 3)",
    );
    python(
        &[manage, django, ("mysite/settings/base.py", SETTINGS), ("mysite/settings/__init__.py", "")],
        "gunicorn mysite.wsgi (Django: WSGI_APPLICATION in mysite/settings/base.py line 3)",
    );
    python(
        &[manage, django, ("mysite/settings.py", "X = 1\n"), ("mysite/wsgi.py", "#\napplication = get()\n")],
        "gunicorn mysite.wsgi (Django: mysite/wsgi.py line 2)",
    );
    python(
        &[("backend/manage.py", MANAGE), django, ("backend/mysite/settings.py", SETTINGS)],
        "gunicorn --chdir backend mysite.wsgi (Django: WSGI_APPLICATION in backend/mysite/settings.py line 3)",
    );
    let asgi = format!("{SETTINGS}ASGI_APPLICATION = \"mysite.asgi.application\"\n");
    for (requirements, command) in [
        ("django\nuvicorn\ngunicorn\n", "uvicorn mysite.asgi:application --host 0.0.0.0 --port $PORT"),
        ("django\ndaphne\n", "daphne -b 0.0.0.0 -p $PORT mysite.asgi:application"),
        ("django\nchannels[daphne]\n", "daphne -b 0.0.0.0 -p $PORT mysite.asgi:application"),
        ("django\nhypercorn\n", "hypercorn --bind 0.0.0.0:$PORT mysite.asgi:application"),
    ] {
        let files = [manage, ("requirements.txt", requirements), ("mysite/settings.py", &asgi)];
        python(&files, &format!("{command} (Django: ASGI_APPLICATION in mysite/settings.py line 4)"));
    }
    python(
        &[manage, ("requirements.txt", "django\ngunicorn\n"), ("mysite/settings.py", &asgi)],
        "gunicorn mysite.wsgi (Django: WSGI_APPLICATION in mysite/settings.py line 3)",
    );
    python(
        &[
            manage,
            ("requirements.txt", "django\nuvicorn\n"),
            ("mysite/settings.py", ""),
            ("mysite/wsgi.py", ""),
            ("mysite/asgi.py", "application = 1\n"),
        ],
        "uvicorn mysite.asgi:application --host 0.0.0.0 --port $PORT (Django: mysite/asgi.py line 1)",
    );
    python(
        &[manage, ("requirements.txt", "django\nwaitress\n"), ("mysite/settings.py", SETTINGS)],
        "waitress-serve --host=0.0.0.0 --port=$PORT mysite.wsgi:application (Django: WSGI_APPLICATION in mysite/settings.py line 3)",
    );
}

#[test]
fn django_without_a_server_is_refused_with_what_to_add() {
    let tree = |file: &'static str, text: &'static str| {
        [("manage.py", MANAGE), ("mysite/settings.py", SETTINGS), (file, text)]
    };
    let parts =
        ["Django", "WSGI_APPLICATION in mysite/settings.py line 3", "Add this line to requirements.txt: gunicorn"];
    refused("python", &tree("requirements.txt", "django\n"), &parts);
    refused("python", &tree("requirements.txt", "django\ngunicorn; sys_platform == 'win32'\n"), &parts);
    refused("python", &tree("uv.lock", "version = 1\n"), &["Type uv add gunicorn"]);
    refused("python", &tree("poetry.lock", ""), &["Type poetry add gunicorn"]);
    refused("python", &tree("Pipfile.lock", "{}"), &["Type pipenv install gunicorn"]);
    refused("python", &tree("pyproject.toml", "[project]\ndependencies = []\n"), &["Add \"gunicorn\" to dependencies"]);
    refused("python", &tree("setup.py", ""), &["Add \"gunicorn\" to install_requires"]);
    refused(
        "python",
        &[("manage.py", MANAGE), ("requirements.txt", "django\n")],
        &["neither its settings", "web: gunicorn NAME.wsgi"],
    );
}

#[test]
fn servers_are_found_in_every_kind_of_requirements() {
    let lock = "[[package]]\nname = 'gunicorn'\n\n[[package]]\nname = 'flask'\ndependencies = [{ name = 'gunicorn' }]\n\n\
                [[package]]\nname = 'site'\nsource = { virtual = '.' }\ndependencies = [{ name = 'flask' }]\n";
    for (file, text) in [
        ("requirements.txt", "flask\nGunicorn>=20 ; python_version > '3'\n"),
        ("requirements.txt", "-r requirements/base.txt\n"),
        ("requirements.txt", "-e git+https://example.com/gunicorn.git#egg=gunicorn\n"),
        ("requirements.txt", "gunicorn @ https://example.com/gunicorn.zip\n"),
        ("uv.lock", lock),
        ("poetry.lock", "[[package]]\nname = \"gunicorn\"\ngroups = [\"main\"]\n"),
        ("Pipfile.lock", "{\"default\": {\"gunicorn\": {\"version\": \"==23\"}}}"),
        ("pyproject.toml", "[project]\ndependencies = [\"flask\", \"gunicorn>=22\"]\n"),
        ("setup.py", "setup(install_requires=['flask', 'gunicorn'])\n"),
    ] {
        let files = [("app.py", FLASK), (file, text), ("requirements/base.txt", "flask\ngunicorn\n")];
        python(&files, "gunicorn app:app (Flask: app in app.py line 3)");
    }
    for (file, text) in [
        ("requirements.txt", "flask\n# gunicorn\n"),
        ("uv.lock", "[[package]]\nname = 'gunicorn'\n\n[[package]]\nname = 'site'\nsource = { virtual = '.' }\n"),
        ("poetry.lock", "[[package]]\nname = \"gunicorn\"\ngroups = [\"dev\"]\n"),
        ("Pipfile.lock", "{\"default\": {}, \"develop\": {\"gunicorn\": {}}}"),
    ] {
        refused("python", &[("app.py", FLASK), (file, text)], &["Flask app (app in app.py line 3)", "gunicorn"]);
    }
}

#[test]
fn app_objects_are_found_in_the_usual_places() {
    let servers = ("requirements.txt", BOTH_SERVERS);
    let uvicorn = |target: &str| format!("uvicorn {target} --host 0.0.0.0 --port $PORT");
    for file in ["app.py", "main.py", "wsgi.py", "server.py", "run.py", "hello.py"] {
        let module = file.trim_end_matches(".py");
        python(&[servers, (file, FLASK)], &format!("gunicorn {module}:app (Flask: app in {file} line 3)"));
        let expected = format!("{} (FastAPI: app in {file} line 2)", uvicorn(&format!("{module}:app")));
        python(&[servers, (file, FASTAPI)], &expected);
    }
    python(&[servers, ("src/app.py", FLASK)], "gunicorn --chdir src app:app (Flask: app in src/app.py line 3)");
    python(
        &[servers, ("src/main.py", FASTAPI)],
        &format!("{} (FastAPI: app in src/main.py line 2)", uvicorn("--app-dir src main:app")),
    );
    python(
        &[servers, ("src/main.py", "from src.parts import x\nfrom fastapi import FastAPI\napi = FastAPI()\n")],
        &format!("{} (FastAPI: api in src/main.py line 3)", uvicorn("src.main:api")),
    );
    python(&[servers, ("shop/__init__.py", FLASK)], "gunicorn shop:app (Flask: app in shop/__init__.py line 3)");
    python(
        &[servers, ("src/shop/__init__.py", FLASK)],
        "gunicorn --chdir src shop:app (Flask: app in src/shop/__init__.py line 3)",
    );
    python(
        &[servers, ("app/__init__.py", ""), ("app/main.py", FASTAPI), ("tests/app.py", FASTAPI)],
        &format!("{} (FastAPI: app in app/main.py line 2)", uvicorn("app.main:app")),
    );
    python(
        &[servers, ("backend/main.py", FASTAPI)],
        &format!("{} (FastAPI: app in backend/main.py line 2)", uvicorn("--app-dir backend main:app")),
    );
    // Flask looks at app.py first, FastAPI at main.py.
    python(&[servers, ("app.py", FLASK), ("main.py", FLASK)], "gunicorn app:app (Flask: app in app.py line 3)");
    python(
        &[servers, ("app.py", FASTAPI), ("main.py", FASTAPI)],
        &format!("{} (FastAPI: app in main.py line 2)", uvicorn("main:app")),
    );
}

#[test]
fn app_objects_are_followed_through_imports_factories_and_names() {
    let servers = ("requirements.txt", BOTH_SERVERS);
    python(&[servers, ("app.py", FACTORY)], "gunicorn 'app:create_app()' (Flask: create_app() in app.py line 3)");
    python(
        &[servers, ("flaskr/__init__.py", FACTORY)],
        "gunicorn 'flaskr:create_app()' (Flask: create_app() in flaskr/__init__.py line 3)",
    );
    python(
        &[
            servers,
            ("flaskr/__init__.py", FACTORY),
            ("wsgi.py", "from flaskr import create_app\n\napp = create_app()\n"),
        ],
        "gunicorn wsgi:app (Flask: app in wsgi.py line 3)",
    );
    python(
        &[servers, ("shop/__init__.py", FLASK), ("wsgi.py", "from shop import app as application\n")],
        "gunicorn wsgi:application (Flask: application in wsgi.py line 1)",
    );
    python(
        &[servers, ("shop/__init__.py", FLASK), ("shop/views.py", "from shop import app\n")],
        "gunicorn shop:app (Flask: app in shop/__init__.py line 3)",
    );
    python(
        &[servers, ("main.py", "from fastapi import FastAPI\ndef create_app():\n    return FastAPI()\n")],
        "uvicorn --factory main:create_app --host 0.0.0.0 --port $PORT (FastAPI: create_app() in main.py line 2)",
    );
    python(
        &[servers, ("hello.py", FLASK), ("other.py", FLASK), (".flaskenv", "# x\nFLASK_APP=other\n")],
        "gunicorn other:app (Flask: app in other.py line 3; .flaskenv line 2)",
    );
    python(
        &[servers, ("hello.py", FLASK), ("other.py", FLASK), ("env/FLASK_APP", "hello.py")],
        "gunicorn hello:app (Flask: app in hello.py line 3; config var FLASK_APP)",
    );
    let class =
        "import flask\nclass Shop(flask.Flask):\n    pass\ntry:\n    site: Shop = Shop(__name__)\nfinally:\n    pass\n";
    python(&[servers, ("app.py", class)], "gunicorn app:site (Flask: site in app.py line 5)");
    let tuple = "from fasthtml.common import *\napp, rt = fast_app()\n";
    python(
        &[servers, ("main.py", tuple)],
        "uvicorn main:app --host 0.0.0.0 --port $PORT (FastHTML: app in main.py line 2)",
    );
    // What this Python cannot parse, the app's own may.
    let newer = "from flask import Flask\ntype Names = list[str]\nprint(f'{'x'}')\napp = Flask(__name__)\n";
    python(&[servers, ("app.py", newer)], "gunicorn app:app (Flask: app in app.py line 4)");
    let dash = "from dash import Dash\napp = Dash(__name__)\nserver = app.server\n";
    python(&[servers, ("app.py", dash)], "gunicorn app:server (Dash: server in app.py line 3)");
    // What needs an argument, is a test or lies behind `__main__` is nothing that a server could be given.
    let wrong = "from flask import Flask\ndef create_app(config):\n    return Flask(__name__)\nif __name__ == '__main__':\n    app = Flask('x')\n";
    refused("python", &[servers, ("start.py", wrong)], &["no app object", "web: gunicorn start:app"]);
}

#[test]
fn several_apps_are_refused_with_the_lines_to_choose_from() {
    let servers = ("requirements.txt", BOTH_SERVERS);
    refused(
        "python",
        &[servers, ("one/__init__.py", FLASK), ("two/__init__.py", FLASK)],
        &["several web apps", "  web: gunicorn one:app", "  web: gunicorn two:app"],
    );
    refused(
        "python",
        &[servers, ("one.py", FLASK), ("two.py", FASTAPI)],
        &["  web: gunicorn one:app", "  web: uvicorn two:app"],
    );
    python(
        &[servers, ("api/main.py", FASTAPI), ("jobs/main.py", FASTAPI)],
        "uvicorn --app-dir api main:app --host 0.0.0.0 --port $PORT (FastAPI: app in api/main.py line 2)",
    );
}

#[test]
fn an_app_that_listens_by_itself_is_run_where_no_server_is_asked_for() {
    let itself = "import os\nfrom flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run('0.0.0.0', int(os.environ['PORT']))\n";
    let flask = ("requirements.txt", "flask\n");
    python(
        &[flask, ("app.py", itself)],
        "python app.py (Flask: app in app.py line 3; it listens on PORT by itself, line 5)",
    );
    refused("python", &[flask, ("app.py", FLASK)], &["Add this line to requirements.txt: gunicorn"]);
    refused(
        "python",
        &[("requirements.txt", "fastapi\ngunicorn\n"), ("app.py", FASTAPI)],
        &["FastAPI", "requirements.txt: uvicorn"],
    );
    python(
        &[("requirements.txt", "fastapi[standard]\n"), ("main.py", FASTAPI)],
        "uvicorn main:app --host 0.0.0.0 --port $PORT (FastAPI: app in main.py line 2)",
    );
    python(
        &[("requirements.txt", "sanic\n"), ("main.py", "from sanic import Sanic\napp = Sanic('x')\n")],
        "sanic main:app --host=0.0.0.0 --port=$PORT (Sanic: app in main.py line 2)",
    );
}

#[test]
fn streamlit_and_gradio_are_told_by_their_import() {
    let streamlit = ("requirements.txt", "streamlit\n");
    for file in ["streamlit_app.py", "app.py", "src/main.py", "board.py"] {
        python(
            &[streamlit, (file, "import os\nimport streamlit as st\n")],
            &format!(
                "streamlit run {file} --server.port=$PORT --server.address=0.0.0.0 --server.headless=true (Streamlit: import in {file} line 2)"
            ),
        );
    }
    let import = "import streamlit\n";
    refused(
        "python",
        &[streamlit, ("a.py", import), ("b.py", import)],
        &["web: streamlit run a.py", "web: streamlit run b.py"],
    );
    python(
        &[("requirements.txt", "gradio\n"), ("app.py", "import gradio as gr\n")],
        "GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python app.py (Gradio: import in app.py line 1)",
    );
}

#[test]
fn plain_programs_are_run_and_other_trees_refused() {
    let none = ("requirements.txt", "");
    python(
        &[none, ("main.py", "print(1)\n\nif __name__ == '__main__':\n    pass\n")],
        "python main.py (main.py line 3)",
    );
    python(&[none, ("app.py", "print(1)\n")], "python app.py (app.py is there, and no framework that is known)");
    python(
        &[none, ("src/main.py", "print(1)\n")],
        "python src/main.py (src/main.py is there, and no framework that is known)",
    );
    refused(
        "python",
        &[none, ("tool.py", "print(1)\n")],
        &["Nothing says what starts this app", "  web: python tool.py"],
    );
    refused("python", &[("requirements.txt", "flask\n")], &["  web: gunicorn MODULE:app"]);
    refused("python", &[none, ("bin/post_compile", "#!/bin/sh\n")], &["Nothing says what starts this app"]);
    // A hook may write a Procfile.
    assert_eq!(Tree::of(&[none, ("+bin/post_compile", "#!/bin/sh\n")]).start("python"), Ok(String::new()));
    // Hostile names and contents stay on their line.
    refused("python", &[none, ("a\nb\t.py", "")], &["  web: python 'a b .py'"]);
}
