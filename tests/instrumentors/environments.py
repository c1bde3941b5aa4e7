"""Installs what the instrumentors need, outside of the project's own environment.

Virtual environments and `node_modules` lie in `.instrumentors` in the clone, which git ignores;
each is made once, and again when its pins change.
"""

import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".instrumentors"


def command(app, pins):
    """The command that runs an app of `apps/`, once its environment is there."""
    path = HERE / "apps" / app
    if path.suffix == ".mjs":
        # Node.js looks for modules beside the script.
        folder = installed(pins.replace("package", "node"), HERE / f"{pins}.json", _install_node)
        for script in path.parent.glob("*.mjs"):
            (folder / script.name).write_bytes(script.read_bytes())
        return [shutil.which("node"), str(folder / path.name)]
    requirements = _requirements(path.stem)
    folder = installed(requirements.stem, requirements, _install_python)
    return [str(folder / "bin" / "python"), str(path)]


def version_of(app, package, pins="package"):
    """A package and the version of it that is pinned for an app."""
    if app.endswith(".mjs"):
        pins = json.loads((HERE / f"{pins}.json").read_text())["dependencies"]
    else:
        lines = _requirements(Path(app).stem).read_text().split()
        pins = dict(line.split("==") for line in lines)
    return f"{package} {pins[package]}"


def _requirements(stem):
    own = HERE / "requirements" / f"{stem}.txt"
    return own if own.exists() else HERE / "requirements" / "python.txt"


def installed(name, pins, install):
    """The folder of an environment; installed if its pins are not those it was made of."""
    folder = CACHE / name
    stamp = folder / ".installed"
    want = f"{sys.version_info[:2]} {zlib.crc32(pins.read_bytes())}"
    if not stamp.exists() or stamp.read_text() != want:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install(folder, pins)
        stamp.write_text(want)
    return folder


def _install_node(folder, pins):
    shutil.copy(pins, folder / "package.json")
    options = ["--no-audit", "--no-fund", "--no-package-lock"]
    subprocess.run(["npm", "install", *options], cwd=folder, check=True)


def _install_python(folder, pins):
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "-r", str(pins)], check=True)


def run(app, provider, stub, engine, project, pins="package"):
    """Run an app against a stub, traced into a project of an engine; return what it printed."""
    environment = {
        # Nothing of this process's own environment that configures an SDK.
        **{key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ},
        "STUB": stub,
        "CASES": str(HERE / "cases.json"),
        "PROVIDER": provider,
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_ENDPOINT": engine,
        "LANGSMITH_BASE_URL": engine,  # LiteLLM's name for it.
        "LANGSMITH_API_KEY": "any",
        "LANGSMITH_PROJECT": project,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{engine}/otel",
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key=any,Langsmith-Project={project}",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
        # LiteLLM otherwise asks the internet first, and waits where there is none.
        "LITELLM_OFFLINE_MODE": "true",
    }
    done = subprocess.run(
        command(app, pins),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
