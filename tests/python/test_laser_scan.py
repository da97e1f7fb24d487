"""Tests the Python package as it is installed in the environment of the Python that runs them, with pandas beside it.

    python -m unittest discover -s tests/python
"""

import dataclasses
import importlib.metadata
import json
import logging
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types
import unittest
from unittest import mock

import laser_scan

ROOT = pathlib.Path(__file__).parents[2]
MODEL = ROOT / "examples/tiny-mistral"
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
DOWN = "mlp.down_proj"


class Installed(unittest.TestCase):
    """What the wheel puts into an environment."""

    def test_the_program_and_the_package_have_the_version_of_cargo(self):
        said = subprocess.run([laser_scan.program(), "--version"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(said, f"laser-scan {VERSION}\n")
        self.assertEqual(laser_scan.__version__, VERSION)

    def test_the_program_is_the_one_of_this_environment(self):
        self.assertTrue(laser_scan.program().is_relative_to(sys.prefix), laser_scan.program())
        self.assertTrue(pathlib.Path(laser_scan.__file__).is_relative_to(sys.prefix), laser_scan.__file__)

    def test_the_package_is_typed(self):
        self.assertTrue(pathlib.Path(laser_scan.__file__).with_name("py.typed").is_file())

    def test_the_extra_for_cuda_names_the_libraries_that_the_program_looks_for(self):
        required = importlib.metadata.requires("laser-scan")
        cuda = {re.match(r"[\w-]+", each)[0] for each in required if re.search("extra == ['\"]cuda['\"]", each)}
        self.assertEqual(cuda, {"nvidia-cublas", "nvidia-cusolver"})

    def test_the_module_is_the_program(self):
        run = lambda *arguments: subprocess.run([sys.executable, "-m", "laser_scan", *arguments], capture_output=True, text=True)
        self.assertEqual(run("--version").stdout, f"laser-scan {VERSION}\n")
        self.assertEqual(run("--no-such-option").returncode, 2)


class Programs(unittest.TestCase):
    """Where the program is looked for."""

    def test_what_is_not_in_the_environment_is_on_the_path(self):
        with tempfile.TemporaryDirectory() as folder:
            elsewhere = shutil.copy(laser_scan.program(), folder)
            with mock.patch("laser_scan._program._scripts", return_value=[]):
                with mock.patch.dict(os.environ, PATH=folder):
                    self.assertEqual(laser_scan.program(), pathlib.Path(elsewhere))
                with mock.patch.dict(os.environ, PATH=""), self.assertRaisesRegex(laser_scan.LaserScanError, "neither in"):
                    laser_scan.program()


class Scans(unittest.TestCase):
    """A scan of the example, which is made once for all of these tests."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.events = []
        cls.scan = laser_scan.scan(
            MODEL, top_n=2, output_dir=cls.folder, statistics=True, device="cpu", on_event=cls.events.append
        )

    def test_the_files_are_read(self):
        self.assertEqual(self.scan.path, self.folder / "laser_scan_tiny-mistral.json")
        self.assertEqual(len(self.scan.modules), 28)
        self.assertEqual(self.scan.manifest["options"]["top_n"], 2)
        self.assertEqual(self.scan.failed, [])
        self.assertEqual(repr(self.scan), f"Scan({str(self.scan.path)!r})")

    def test_events_come_as_they_happen(self):
        names = [event["event"] for event in self.events]
        self.assertEqual(names.count("module"), 28)
        self.assertLess(names.index("begin"), names.index("module"))
        self.assertIn("done", names)

    def test_the_best_are_those_that_the_program_chooses(self):
        chosen = json.loads((self.folder / "laser_scan_tiny-mistral_top_snr.json").read_text())
        self.assertEqual(self.scan.best(top_n=2), chosen)
        self.assertEqual(self.scan.best(top_n=1, types=[DOWN, "mlp.up_proj"]).keys(), {DOWN, "mlp.up_proj"})
        self.assertEqual(sum(map(len, self.scan.best(top_n=5, global_=True, layers=None).values())), 5)

    def test_a_scan_is_opened_by_its_path(self):
        again = laser_scan.Scan(str(self.scan.path))
        self.assertEqual(again.best(top_n=3), self.scan.best(top_n=3))
        link = self.folder / "link.json"
        link.symlink_to(self.scan.path)
        self.assertEqual(laser_scan.Scan(link).manifest, self.scan.manifest)

    def test_spectra_are_the_singular_values(self):
        spectra = self.scan.spectra()
        self.assertEqual(spectra.keys(), self.scan.modules.keys())
        for name, values in spectra.items():
            module = self.scan.modules[name]
            self.assertEqual(values.shape, (min(module["shape"]),))
            self.assertTrue((values[:-1] >= values[1:]).all())
            self.assertEqual(values[0], module["sigma_max"])
            signal = values[values > module["threshold"]]
            self.assertEqual(len(signal), module["signal_count"])
            self.assertTrue(math.isclose(signal.sum(), module["signal"], rel_tol=1e-12))

    def test_the_table_has_a_row_for_each_module(self):
        table = self.scan.to_pandas()
        self.assertEqual(list(table.index), list(self.scan.modules))
        for name, module in self.scan.modules.items():
            self.assertEqual(table.snr[name], module["snr"])
            self.assertEqual(table["statistics.mp.value"][name], module["statistics"]["mp"]["value"])

    def test_an_infinite_ratio_is_infinite_in_the_table_and_an_unknown_one_is_not(self):
        modules = {"a": {"snr": None, "noise": 0, "type": "x"}, "b": {"snr": 2.5, "noise": 1.0}, "c": {"snr": None, "pool": "mean"}}
        path = self.folder / "infinite.json"
        path.write_text(json.dumps(modules))
        ratios = laser_scan.Scan(path).to_pandas().snr
        self.assertEqual((ratios["a"], ratios["b"]), (math.inf, 2.5))
        self.assertTrue(math.isnan(ratios["c"]))

    def test_targets_are_a_configuration_of_peft(self):
        @dataclasses.dataclass
        class LoraConfig:
            r: int
            lora_alpha: int
            target_modules: list
            rank_pattern: dict
            alpha_pattern: dict
            task_type: str

        # PEFT itself needs PyTorch. tests/trainers gives it what the program exports.
        with mock.patch.dict(sys.modules, peft=types.SimpleNamespace(LoraConfig=LoraConfig)):
            config = self.scan.targets("peft", top_n=2, rank=8, no_head=True)
        self.assertEqual((config.r, config.task_type), (8, "CAUSAL_LM"))
        self.assertEqual(sorted(config.target_modules), sorted(sum(self.scan.best(top_n=2).values(), [])))

    def test_other_trainers_configurations_are_texts(self):
        self.assertIn("lora_target_modules:", self.scan.export("axolotl", top_n=2))
        with self.assertRaisesRegex(ValueError, r"export\('axolotl'\)"):
            self.scan.targets("axolotl")

    def test_a_package_that_is_missing_is_named(self):
        for package, use in [("numpy", self.scan.spectra), ("pandas", self.scan.to_pandas), ("peft", self.scan.targets)]:
            with mock.patch.dict(sys.modules, {package: None}), self.assertRaisesRegex(ImportError, f"pip install {package}"):
                use()

    def test_notes_go_to_the_log(self):
        with tempfile.TemporaryDirectory() as folder, self.assertLogs("laser_scan", logging.INFO) as log:
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
            laser_scan.scan(str(MODEL), top_n=1, output_dir=folder, statistics=True)
        self.assertTrue(any("nothing is measured anew" in line for line in log.output), log.output)


class Errors(unittest.TestCase):
    """What the program refuses."""

    def refused(self, *arguments, **options):
        with self.assertRaises(laser_scan.LaserScanError) as caught:
            laser_scan.scan(*arguments, **options)
        self.assertNotIn("\n", str(caught.exception))
        return str(caught.exception), caught.exception.status

    def test_one_sentence_says_why_there_is_no_result(self):
        with tempfile.TemporaryDirectory() as folder:
            message, status = self.refused(folder, output_dir=folder)
        self.assertEqual(status, 1)
        self.assertIn(folder, message)
        self.assertFalse(message.startswith("error"))

    def test_one_sentence_says_which_option_is_wrong(self):
        self.assertEqual(self.refused(MODEL, no_such_option=1), ("unexpected argument '--no-such-option' found", 2))
        message, status = self.refused(MODEL, top_n=-1)
        self.assertEqual(status, 2)
        self.assertIn("--top-n", message)

    def test_options_without_a_result_are_refused_before_anything_runs(self):
        for option, value in [("dry_run", True), ("part", "1/2"), ("quiet", True), ("log_format", "text")]:
            with self.assertRaisesRegex(TypeError, option):
                laser_scan.scan(MODEL, **{option: value})

    def test_files_that_are_missing_or_of_another_kind_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "scan.json")
            with self.assertRaisesRegex(laser_scan.LaserScanError, "scan.json"):
                laser_scan.Scan(path).modules
            path.write_text("{")
            with self.assertRaisesRegex(laser_scan.LaserScanError, "scan.json"):
                laser_scan.Scan(path).modules
            path.with_name("scan_spectra.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0[1, 2, 3")
            with self.assertRaisesRegex(laser_scan.LaserScanError, "scan_spectra.safetensors"):
                laser_scan.Scan(path).spectra()

    def test_an_exception_of_the_listener_ends_the_program(self):
        def listener(event):
            raise KeyError(event["event"])

        with tempfile.TemporaryDirectory() as folder, self.assertRaises(KeyError):
            laser_scan.scan(MODEL, output_dir=folder, on_event=listener)


if __name__ == "__main__":
    unittest.main()
