from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import seefit as package
from command import ENTRY, Answer, seefit, seefit_process, start
from seefit.cli.main import app, main

COMMANDS = [
    "apply-fixes",
    "augment",
    "cache",
    "check",
    "compare",
    "demo",
    "evaluate",
    "explain",
    "export",
    "features",
    "lr-find",
    "models",
    "predict",
    "report",
    "resume",
    "runs",
    "serve",
    "study",
    "summary",
    "train",
    "tune",
]
HEAVY = ("torch", "timm", "sklearn", "scipy", "matplotlib", "onnx", "onnxruntime", "openvino", "pandas", "numpy", "PIL", "pydantic", "yaml")


def test_the_version_is_printed() -> None:
    assert seefit("--version") == Answer(0, f"seefit {package.__version__}\n", "")


def test_alone_it_shows_its_help_and_says_that_nothing_was_asked() -> None:
    answer = seefit()
    assert answer.code == 2
    assert answer.err == ""
    assert all(f" {name} " in answer.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_common_options(name: str) -> None:
    answer = seefit(name, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert f"Usage: seefit {name} " in answer.out
    for option in ("--json", "--quiet", "--seed", "--device", "--debug", "--help"):
        assert re.search(rf"{option}\b", answer.out), option
    assert "[default: (0)]" in answer.out
    assert "[default: (auto)]" in answer.out


def test_the_list_of_commands_is_whole() -> None:
    assert sorted(typer.main.get_command(app).commands) == COMMANDS  # type: ignore[attr-defined]


UNREADABLE = "Cannot read the command line: seefit {}. Expected what its --help shows, got "


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["trian", "x"], "Unknown command: trian. Expected a known command, got 'trian'.", "Did you mean 'train'? Choose one of: "),
        (["xyzzy"], "Unknown command: xyzzy. Expected a known command, got 'xyzzy'.", "Choose one of: apply-fixes, augment, cache, "),
        (["train", "--bckbone", "y"], "Unknown option of seefit train: --bckbone. Expected a known option of seefit train, got ",
         "Did you mean '--backbone'? Choose one of: --accumulate, --allow-leak, "),
        (["runs", "--delte", "x"], "Unknown option of seefit runs: --delte. Expected a known option of seefit runs, got '--delte'.",
         "Did you mean '--delete'? Choose one of: --backbone, --data, --debug, --delete, "),
        (["predict"], UNREADABLE.format("predict") + "missing argument 'run'.",
         "See `seefit predict --help`."),
        (["features", "x"], UNREADABLE.format("features") + "missing option '--out'.",
         "See `seefit features --help`."),
        (["train", "a", "b"], UNREADABLE.format("train") + "unexpected extra argument(s) (b).",
         "See `seefit train --help`."),
        (["train", "--seed", "x"], UNREADABLE.format("train") + "invalid value for '--seed': ",
         "See `seefit train --help`."),
        (["train", "x", "--fit", "sqash"], "Bad setting: --fit. Expected 'auto', 'crop', 'pad' or 'squash', got 'sqash'.",
         "See `seefit train --help` for --fit."),
        (["train"], "Nothing to train on: seefit train. Expected DATA or --config, got neither.", "Try `seefit train demo:elpv`."),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_exit_2_with_what_would_be_right(arguments: list[str], message: str, hint: str) -> None:
    answer = seefit(*arguments)
    assert (answer.code, answer.out) == (2, "")
    first, second = answer.err.splitlines()
    assert first.startswith(f"error: {message}")
    assert second.startswith(hint)
    if arguments[1:]:
        error = seefit(*arguments, "--json").error()
        assert error["code"] == 2
        assert error["message"].startswith(message)
        assert error["hint"].startswith(hint)


CALLS: dict[str, Callable[[Path], list[object]]] = {
    "augment": lambda run: [run.parent / "photos"],
    "cache": lambda run: [],
    "check": lambda run: [run.parent / "photos"],
    "evaluate": lambda run: [run],
    "features": lambda run: [run.parent / "photos", "--out", "features.npz"],
    "models": lambda run: ["lite0"],
    "predict": lambda run: [run, run / "bundle" / "golden"],
    "runs": lambda run: [run.parent],
    "summary": lambda run: ["lenet5"],
    "report": lambda run: [run],
    "resume": lambda run: [run],
    "train": lambda run: [run.parent / "photos"],
}


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("name", CALLS)
def test_json_is_one_document_and_all_there_is_on_stdout(
    name: str, trained: Path, warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = seefit(name, *CALLS[name](trained), "--json")
    assert answer.code == 0, answer.err
    json.loads(answer.out)


@pytest.mark.parametrize("name", [name for name in CALLS if name not in {"report", "train"}])
def test_quiet_leaves_the_result(name: str, trained: Path, warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = seefit(name, *CALLS[name](trained), "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.strip()


def on_terminal(*arguments: str, **environment: str) -> str:
    """Run a command on a terminal of its own and return what it showed."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", ENTRY, *arguments]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm-256color", **environment})
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux tells that the other side is closed
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return shown.decode()


def test_no_color_is_respected() -> None:
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]")
    assert colour.search(on_terminal("train", "--help"))
    assert not colour.search(on_terminal("train", "--help", NO_COLOR="1"))


@pytest.mark.parametrize("code", ["import seefit", "import sys; from seefit.cli.main import main; assert main(['--help']) == 0"])
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    watch = f"\nimport sys; print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    answer = seefit_process(code=code + watch)
    assert (answer.code, answer.err) == (0, "\n")


def test_what_only_predicts_never_imports_torch(trained: Path, warm: Path) -> None:
    code = """
import sys; from seefit.cli.main import main; run, photos = sys.argv[1:]
codes = [main([*arguments, "--quiet"]) for arguments in (["predict", run, photos], ["evaluate", run], ["evaluate", run, photos])]
print(codes, *(name for name in ("torch", "timm", "openvino", "matplotlib") if name in sys.modules), file=sys.stderr)
"""
    assert seefit_process(trained, warm, code=code).err == "[0, 0, 0]\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_says_so_and_leaves_nothing_half_done(
    number: signal.Signals, code: int, photo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    process = start("train", photo_folder(60), cwd=tmp_path)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("seefit ")  # it is at work
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.splitlines()[-2:] == ["Interrupted. What is done so far is kept.", "Go on with: seefit resume runs/photos-lite0-1"]
    assert "Traceback" not in err
    assert list((tmp_path / "runs").glob("*/.*")) == []  # neither a lock nor a part of a file
    assert (tmp_path / "runs" / "photos-lite0-1" / "config.yaml").is_file()


def test_it_works_beside_the_main_thread() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["runs", "/nowhere", "--json"])))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_closed_pipe_is_no_error(trained: Path) -> None:
    process = start("evaluate", trained, "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.wait(timeout=30)
    process.stderr.close()
    assert (process.returncode, err) == (0, "")
