"""Ranks the linear modules of a language model by the signal-to-noise ratio of their weights.

    >>> import laser_scan
    >>> scan = laser_scan.scan("mistralai/Mistral-7B-v0.1", top_n=16)
    >>> scan.best(top_n=2)["mlp.down_proj"]
    ['model.layers.1.mlp.down_proj', 'model.layers.3.mlp.down_proj']
    >>> model = peft.get_peft_model(model, scan.targets("peft", top_n=16))

All of it is done by the program `laser-scan`, which comes with this package and knows nothing of Python: `scan` runs it, and
a `Scan` is what it has written. `Scan(path)` opens what it has written before.
"""

from importlib import metadata as _metadata

from laser_scan._program import LaserScanError, program
from laser_scan._scan import Scan, scan

__all__ = ["LaserScanError", "Scan", "program", "scan"]
__version__ = _metadata.version("laser-scan")
