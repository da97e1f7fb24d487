#!/usr/bin/env python3
"""Checks examples/kubernetes: every document against the schema of Kubernetes, and the containers' commands as they stand.

The commands run in a shell with the variables that Kubernetes would set, once for each completion; what they merge must be the scan that is not
divided, to the byte. Of the variant for GPUs the commands are run on the CPU.

    python3 -m pip install kubernetes-validate==1.37.0 PyYAML==6.0.3
    python3 tests/kubernetes/check.py target/debug/laser-scan examples/tiny-mistral
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

# The oldest version whose jobs have a limit of retries for each index, and the newest that the package knows.
VERSIONS = ["1.33", "1.37"]
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples/kubernetes"
RESULTS = [".json", "_top_snr.json", "_spectra.safetensors"]


def run(container, folder, program, model, index=None):
    """Runs the command of a container, as a pod would."""
    variables = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    variables.update(SCAN=str(folder), HF_HOME=str(folder / "huggingface"), HOME=str(folder))
    if "MODEL" in variables:
        variables["MODEL"] = str(model)
    if index is not None:
        variables["JOB_COMPLETION_INDEX"] = str(index)
    variables["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    arguments = [argument.replace("--device cuda", "--device cpu") for argument in container["args"]]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    done = subprocess.run([*container["command"], *arguments], env=variables, cwd=folder, **streams)
    assert done.returncode == 0, done.stderr.decode()


def check(path, program, model):
    documents = list(yaml.safe_load_all(path.read_text()))
    for document in documents:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    claim, scan, merge = documents
    assert scan["spec"]["completionMode"] == "Indexed"
    container = scan["spec"]["template"]["spec"]["containers"][0]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    completions = scan["spec"]["completions"]
    assert variables["PARTS"] == str(completions), "the parts are as many as the completions"
    for job in (scan, merge):
        volume = job["spec"]["template"]["spec"]["volumes"][0]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for index in reversed(range(completions)):
            run(container, folder, program, model, index)
        run(merge["spec"]["template"]["spec"]["containers"][0], folder, program, model)
        whole = folder / "whole"
        subprocess.run(
            [program, "--model", model, "--device", "cpu", "--top-n", "16", "--output-dir", whole, "-q"], check=True
        )
        for end in RESULTS:
            name = f"laser_scan_{model.name}{end}"
            assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    print(f"{path.name}: {len(documents)} documents are valid, and {completions} parts are the undivided scan")


if __name__ == "__main__":
    program, model = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    for path in sorted(EXAMPLES.glob("*.yaml")):
        check(path, program, model)
