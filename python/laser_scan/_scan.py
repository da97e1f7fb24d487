"""A scan, and its files."""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laser_scan._program import Event, LaserScanError, options, run

if TYPE_CHECKING:
    import numpy
    import pandas
    from numpy.typing import NDArray
    from peft import LoraConfig

# What changes what is printed or written so that there would be no scan to open.
_NO_SCAN = {
    "dry_run": "measures nothing",
    "log_format": "is what this function reads",
    "part": "measures no whole scan: run the program itself, and open what 'laser-scan merge' writes with Scan(path)",
    "quiet": "would say nothing of the results",
}


def scan(model: str | os.PathLike[str], *, on_event: Callable[[Event], object] | None = None, **given: Any) -> Scan:
    """Measures the model's modules, writes the results, and opens them.

    `model` is a folder, one `.safetensors` or `.bin` file, or a Hub id. The other keyword arguments are the program's options,
    which `laser-scan --help` lists, with underscores: `scan(model, top_n=16, output_dir="results", include=["*.mlp.*"])`.
    `global_` has an underscore at its end, since Python has the word for itself. Without `output_dir` the results are in the
    current folder; where they are there already, nothing is measured anew.

    What the program tells goes to the logger `laser_scan`, and to `on_event`, if it is given, as it comes: each event is a
    dictionary that has an `event`, such as `module`, and its own items.

    Raises `LaserScanError` if there is no result, and `TypeError` for options with which there cannot be one.
    """
    for option in _NO_SCAN.keys() & {keyword for keyword, value in given.items() if value not in (None, False)}:
        raise TypeError(f"scan() does not take '{option}', which {_NO_SCAN[option]}")
    _, events = run([f"--model={os.fspath(model)}", *options(given)], on_event)
    files = next(event["files"] for event in reversed(events) if event["event"] == "done")
    # The file of all numbers is the first.
    return Scan(files[0])


class Scan:
    """A finished scan, by the path of the file with every module's numbers, `laser_scan_<model>.json`.

    The other files are found beside it. They are read when they are needed. What is chosen is not part of a scan: each method chooses
    anew, 16 of each type unless it is told otherwise.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Scan({str(self.path)!r})"

    @cached_property
    def modules(self) -> Mapping[str, dict[str, Any]]:
        """Every module's numbers by its name, in the model's order, as they are in the file."""
        modules: dict[str, dict[str, Any]] = _json(self.path)
        return modules

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """How the scan was made, and what is around it in the model."""
        manifest: dict[str, Any] = _json(self._beside("_run.json"))
        return manifest

    @property
    def failed(self) -> list[dict[str, str]]:
        """The modules that could not be measured, each with its `reason`."""
        return list(self.manifest["failed"])

    def best(self, **given: Any) -> dict[str, list[str]]:
        """The names of the best modules of each type, best first.

        The keyword arguments are the options of `laser-scan show`: `scan.best(top_percent=25, statistic="mp")`.
        """
        return dict(json.loads(self._ask("show", str(self.path), "--format=json", *options(given))))

    def export(self, trainer: str, **given: Any) -> str:
        """A trainer's configuration, as `laser-scan export` prints it.

        The keyword arguments are its options: `scan.export("axolotl", top_n=16, rank=64)`.
        """
        return self._ask("export", trainer, str(self.path), *options(given))

    def targets(self, trainer: str = "peft", **given: Any) -> LoraConfig:
        """PEFT's `LoraConfig` for the best modules, whose names are tried by PEFT's own rules on all modules of the model.

        The keyword arguments are the options of `laser-scan export`: `scan.targets("peft", top_n=16, match_rank=32)`. Needs
        PEFT. For other trainers there is `export`.
        """
        if trainer != "peft":
            raise ValueError(f"only PEFT has an object for its configuration: export({trainer!r}) gives that of others as text")
        peft = _optional("peft", "Scan.targets(), though json.loads(scan.export('peft')) does without it")
        config: LoraConfig = peft.LoraConfig(**json.loads(self.export(trainer, **given)))
        return config

    def to_pandas(self) -> pandas.DataFrame:
        """A table with a row for each module, by its name, in the model's order.

        An infinite ratio is `inf`; the statistics of `statistics=True` are columns such as `statistics.mp.value`. Needs pandas.
        """
        library = _optional("pandas", "Scan.to_pandas()")
        table: pandas.DataFrame = library.json_normalize(list(self.modules.values()))
        table.index = library.Index(self.modules, name="name")
        # The file says it with a noise of zero, as JSON has no infinite numbers.
        if "noise" in table:
            table["snr"] = table["snr"].astype(float).mask(table["snr"].isna() & (table["noise"] == 0), math.inf)
        return table.drop(columns="module", errors="ignore")

    def spectra(self) -> dict[str, NDArray[numpy.float64]]:
        """The singular values of each module, largest first. Needs numpy."""
        numpy = _optional("numpy", "Scan.spectra()")
        path = self._beside("_spectra.safetensors")
        content = _bytes(path)
        start = 8 + int.from_bytes(content[:8], "little")
        try:
            tensors = json.loads(content[8:start])
            tensors.pop("__metadata__", None)
            return {name: _float64(numpy, content, start, tensor) for name, tensor in tensors.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise LaserScanError(f"'{path}' does not hold the singular values of a scan: {error}") from error

    def _ask(self, *arguments: str) -> str:
        printed, _ = run(arguments)
        return printed

    def _beside(self, end: str) -> Path:
        """The path of another file of the scan, which is beside the first itself, not beside a link to it."""
        path = self.path.resolve()
        return path.with_name(path.name.removesuffix(".json") + end)


def _float64(numpy: Any, content: bytes, start: int, tensor: dict[str, Any]) -> Any:
    if tensor["dtype"] != "F64":
        raise ValueError(f"a tensor of {tensor['dtype']} is in it")
    begin, end = tensor["data_offsets"]
    return numpy.frombuffer(content, "<f8", (end - begin) // 8, start + begin).reshape(tensor["shape"])


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LaserScanError(f"cannot read '{path}': {error.strerror}") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_bytes(path))
    except ValueError as error:
        raise LaserScanError(f"'{path}' is not the JSON of a scan: {error}") from error


def _optional(package: str, user: str) -> Any:
    """Imports a package that not everybody needs."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(f"{package} is needed for {user}: install it with 'pip install {package}'", name=package) from error
