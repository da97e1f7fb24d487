"""Finds the program `laser-scan`, and runs it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]

_log = logging.getLogger("laser_scan")
_LEVELS = {"note": logging.INFO, "warning": logging.WARNING}
# How the program ends with results: with all, and without those of some modules.
_WITH_RESULTS = (0, 3)


class LaserScanError(Exception):
    """Why the program could not do what it was asked for, in its one sentence.

    `status` is its exit status: 1 where nothing could be produced, 2 where an option is wrong, negative after a signal, and
    `None` where it did not run.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def program() -> Path:
    """Where the program is: among the scripts of the environment that this package is in, or else on the path.

    Raises `LaserScanError` if it is in neither.
    """
    name = "laser-scan.exe" if os.name == "nt" else "laser-scan"
    for folder in _scripts():
        if (folder / name).is_file():
            return folder / name
    if found := shutil.which(name):
        return Path(found)
    raise LaserScanError("the program laser-scan is neither in this Python's environment nor on the path: install it again")


def _scripts() -> list[Path]:
    """The folders in which installers may have put the program, the likeliest first."""
    packages = Path(__file__).parents[1]
    schemes = [sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")]
    # A user's own packages and those of the environment may both be there, of different versions.
    schemes.sort(key=lambda scheme: Path(sysconfig.get_path("platlib", scheme)) != packages)
    # The first is where `pip install --target` puts programs.
    return [packages / "bin", *(Path(sysconfig.get_path("scripts", scheme)) for scheme in schemes)]


def options(given: dict[str, Any]) -> Iterator[str]:
    """Writes keyword arguments as options of the command line.

    `top_n=16` is `--top-n=16`, `global_=True` is `--global`, `include=["*.mlp.*", "*.q_proj"]` gives an option twice, and what
    is `None` or `False` is left out.
    """
    for keyword, value in given.items():
        option = "--" + keyword.rstrip("_").replace("_", "-")
        if value is True:
            yield option
        elif value is not None and value is not False:
            # In one argument, so that a value may begin with a hyphen.
            yield from (f"{option}={each}" for each in (value if isinstance(value, (list, tuple)) else [value]))


def run(arguments: Iterable[str], on_event: Callable[[Event], object] | None = None) -> tuple[str, list[Event]]:
    """Runs the program to its end, and gives what it prints and what it tells meanwhile.

    Raises `LaserScanError` if it fails.
    """
    command = [str(program()), *arguments, "--log-format=json"]
    events: list[Event] = []
    others: list[str] = []
    # A file holds what is printed, whatever the length, while the messages are read.
    with tempfile.TemporaryFile() as printed:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": printed, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, encoding="utf-8", errors="replace", **streams) as process:
            try:
                for line in process.stderr or ():
                    event = _event(line)
                    if event is None:
                        others.append(line.strip())
                        continue
                    events.append(event)
                    if level := _LEVELS.get(event["event"]):
                        _log.log(level, "%s", event.get("message"))
                    if on_event:
                        on_event(event)
            except BaseException:
                # Nobody is there to read the rest. What is measured is kept, and the same call goes on with it.
                process.terminate()
                raise
        if process.returncode not in _WITH_RESULTS:
            raise LaserScanError(_reason(events, others, process.returncode), process.returncode)
        printed.seek(0)
        return printed.read().decode(), events


def _event(line: str) -> Event | None:
    """Reads one line of the log; `None` if it is none, as the messages about a wrong command line are."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _reason(events: list[Event], others: list[str], status: int) -> str:
    """The program's own sentence about why it failed."""
    prefix = "error: "
    said = [str(event["message"]) for event in events if event["event"] == "error"]
    said += [line.removeprefix(prefix) for line in others if line.startswith(prefix)]
    ended = f"laser-scan was ended by signal {-status}" if status < 0 else f"laser-scan ended with status {status}"
    return said[0] if said else " ".join([ended, *others])
