#!/usr/bin/env bash
# Finds out on a machine with a GPU what no other machine can tell, what matters most first. Each step is bounded in time, and all of
# them take less than ten minutes.
#
#   benches/first_gpu_run.sh BINARIES OUTPUT [STEP ...]
#
# BINARIES is a folder with the program, the numeric tests and the benchmark, which CONTRIBUTING.md says how to build:
# laser-scan, numerics and gpu. Each step writes OUTPUT/STEP.txt, and the table of how they ended is OUTPUT/summary.txt. Steps are, in
# this order and all by default:
#
#   driver     the driver; the tiny model on the GPU and on the CPU, with kernels loaded when they are needed and at once
#   numbers    the numeric tests on the GPU
#   solvers    each way to eigenvalues by itself, with its share of a processor, and many small matrices at once
#   copies     how fast weights go over
#   lanes      1, 2, 4, 8 and 12 at once
#   model      a whole 7B from the page cache and from the disk, which is written first
#   torch      the shapes of a 7B beside PyTorch's drivers
#   neighbour  a scan beside a program that holds 95 % of the GPU's memory
#
# It needs Python 3, and PyTorch from `model` on. FACTOR multiplies the time that each step has.
set -uo pipefail

binaries=$(cd "${1:?usage: first_gpu_run.sh BINARIES OUTPUT [STEP ...]}" && pwd) || exit 1
mkdir -p "${2:?usage: first_gpu_run.sh BINARIES OUTPUT [STEP ...]}"
output=$(cd "$2" && pwd)
shift 2
here=$(cd "$(dirname "$0")/.." && pwd)
tiny=$here/examples/tiny-mistral
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
steps=("$@")
((${#steps[@]})) || steps=(driver numbers solvers copies lanes model torch neighbour)
export PATH=$binaries:$PATH LASER_SCAN_NEEDS_GPU=1

# The time of a step in seconds.
declare -A limits=([driver]=60 [numbers]=120 [solvers]=60 [copies]=20 [lanes]=60 [model]=150 [torch]=90 [neighbour]=40)

scan() { # FOLDER MODEL DEVICE ...
    local folder=$1 model=$2 device=$3
    shift 3
    laser-scan --model "$model" --device "$device" --output-dir "$folder" --fresh --overwrite "$@"
}

agree() { # Two folders of results: every ratio to nine digits.
    python3 - "$@" <<'PYTHON'
import glob, json, math, sys

ours, theirs = (json.load(open(next(f for f in sorted(glob.glob(f"{folder}/laser_scan_*.json"))
                                    if not f.endswith(("_run.json", "_top_snr.json"))))) for folder in sys.argv[1:3])
assert ours.keys() == theirs.keys(), "other modules"
worst = max(abs(ours[name]["snr"] / theirs[name]["snr"] - 1) for name in ours if math.isfinite(float(theirs[name]["snr"])))
print(f"{len(ours)} modules, ratios differ by {worst:.1e} at most")
sys.exit(worst > 1e-9)
PYTHON
}

driver() {
    nvidia-smi || echo "there is no nvidia-smi"
    scan "$scratch/cpu" "$tiny" cpu --quiet || return
    for loading in LAZY EAGER; do
        time CUDA_MODULE_LOADING=$loading scan "$scratch/gpu" "$tiny" cuda --verbose || return
        agree "$scratch/gpu" "$scratch/cpu" || return
    done
    python3 -c 'import json, sys
run = json.load(open(sys.argv[1]))
for key in ("libraries", "eigensolvers", "processors", "methods"):
    print(key, json.dumps(run.get(key)))' "$scratch"/gpu/*_run.json
}

numbers() { (cd "$here" && numerics); }

solvers() { gpu solvers; }

copies() { gpu copies; }

lanes() { gpu lanes; }

model() {
    [[ -e ${MODEL:=$scratch/7b} ]] || time python3 "$here/benches/make_7b.py" "$MODEL" || return
    echo "from the page cache"
    cat "$MODEL"/*.safetensors > /dev/null
    time scan "$scratch/warm" "$MODEL" auto --verbose || return
    echo "from the disk"
    python3 -c 'import os, sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)' "$MODEL"/*.safetensors
    time scan "$scratch/cold" "$MODEL" auto --verbose || return
    agree "$scratch/warm" "$scratch/cold"
}

torch() { python3 "$here/benches/gpu_beside_torch.py" "$binaries/gpu" 1024x4096 4096x4096 4096x14336; }

neighbour() {
    python3 -c 'import time, torch
held = torch.empty(int(0.95 * torch.cuda.mem_get_info()[0]), dtype=torch.uint8, device="cuda")
print("held", flush=True)
time.sleep(30)' > "$scratch/neighbour" &
    local pid=$!
    until grep -q held "$scratch/neighbour"; do
        kill -0 $pid 2> /dev/null || return 1
        sleep 0.2
    done
    scan "$scratch/beside" "$tiny" cuda --verbose && scan "$scratch/alone" "$tiny" cpu --quiet && agree "$scratch/beside" "$scratch/alone"
    local status=$?
    kill $pid
    return $status
}

export -f scan agree driver numbers solvers copies lanes model torch neighbour
export binaries here tiny scratch

: > "$output/summary.txt"
for step in "${steps[@]}"; do
    [[ -n ${limits[$step]:-} ]] || { echo "there is no step '$step'" >&2; exit 2; }
    begun=$SECONDS
    timeout --kill-after 5 $((${limits[$step]} * ${FACTOR:-1})) bash -c "set -uo pipefail; $step" > "$output/$step.txt" 2>&1
    status=$?
    printf '%-10s %4d s  %s\n' "$step" $((SECONDS - begun)) \
        "$(case $status in 0) echo done ;; 124 | 137) echo "not done in its time" ;; *) echo "failed with status $status" ;; esac)" |
        tee -a "$output/summary.txt"
done
! grep -q failed "$output/summary.txt"
