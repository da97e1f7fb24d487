#!/usr/bin/env bash
# A CUDA toolkit for machines that have none: what building laser-scan with CUDA takes, from PyPI's wheels, without root
# and without a GPU.
#
#   examples/cuda-toolkit.sh FOLDER
#   source FOLDER/environment
#   cargo build --release --features cuda
#
# Downloads 100 MB and lays out CUDA 13.0's compiler in FOLDER, which must not exist yet. Needs Linux on x86-64 or aarch64,
# python3 with pip, gcc and g++. Of the driver and the libraries there are only empty ones, as laser-scan finds the real
# ones when it runs: that takes a GPU, a driver of version 580 or newer, and CUDA 13's libraries.
set -euo pipefail

wheels=(nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96
    nvidia-cuda-cccl==13.0.85)
# What cudarc and candle's kernels name to the linker.
libraries=(cuda cudart cublas cublasLt curand cusolver cusparse nvrtc)
# Without a GPU to ask, candle's kernels are compiled for this one's architecture and newer ones: 80 is an A100's, 90 an
# H100's and H200's. laser-scan's own are compiled when it runs.
capability=80

fail() {
    echo "cuda-toolkit.sh: $*" >&2
    exit 1
}

[[ $# == 1 && $1 != -* ]] || fail "usage: cuda-toolkit.sh FOLDER"
[[ ! -e $1 ]] || fail "'$1' exists already: name a new folder"
for tool in python3 gcc g++; do
    command -v "$tool" >/dev/null || fail "$tool is needed and not found"
done
python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip: install it (Debian's package is python3-pip)"

# Laid out beside it and renamed at the end, so that FOLDER is whole or not there.
mkdir -p "$(dirname "$1")"
folder=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
unfinished=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$unfinished"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile \
    --target "$unfinished/wheels" "${wheels[@]}"

cd "$unfinished"
for part in bin include nvvm; do
    ln -s "wheels/nvidia/cu13/$part" "$part"
done
mkdir lib64
for library in "${libraries[@]}"; do
    gcc -shared -x c /dev/null -o "lib64/lib$library.so"
done

cat >environment <<END
export CUDA_HOME='$folder' CUDA_PATH='$folder'
export CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-$capability}
export PATH='$folder/bin':"\$PATH"
END
chmod 755 .
mv "$unfinished" "$folder"
trap - EXIT
echo "CUDA 13.0's compiler is in '$folder'. Before building: source '$folder/environment'"
