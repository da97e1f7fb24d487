#!/usr/bin/env bash
# A CUDA toolkit for machines that have none: what building laser-scan with CUDA takes, from PyPI's wheels, without root
# and without a GPU.
#
#   examples/cuda-toolkit.sh [--compiler-only] FOLDER
#   source FOLDER/environment
#   cargo build --release --features cuda
#
# Downloads 1 GB and lays out CUDA 13.0 in FOLDER (1.7 GB), which must not exist yet. --compiler-only leaves out the
# libraries (100 MB): enough for `cargo check` and `cargo clippy`, not for linking. Needs Linux on x86-64 or aarch64, python3 with pip,
# gcc and g++. The driver's library is only a stub to link with: running the program takes a GPU's driver, of version
# 580 or newer.
set -euo pipefail

compiler=(nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96
    nvidia-cuda-cccl==13.0.85)
libraries=(nvidia-cublas==13.1.0.3 nvidia-cusolver==12.0.4.66 nvidia-curand==10.4.0.35 nvidia-cuda-nvrtc==13.0.88
    nvidia-cusparse==12.6.3.3)
# Without a GPU to ask, candle's kernels are compiled for this one's architecture and newer ones: 80 is an A100's, 90 an
# H100's and H200's.
capability=${CUDA_COMPUTE_CAP:-80}

fail() {
    echo "cuda-toolkit.sh: $*" >&2
    exit 1
}

wheels=("${compiler[@]}" "${libraries[@]}")
if [[ ${1:-} == --compiler-only ]]; then
    wheels=("${compiler[@]}")
    shift
fi
[[ $# == 1 && $1 != -* ]] || fail "usage: cuda-toolkit.sh [--compiler-only] FOLDER"
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
mkdir lib64
for part in bin include nvvm; do
    ln -s "wheels/nvidia/cu13/$part" "$part"
done
for library in wheels/nvidia/cu13/lib/*; do
    name=$(basename "$library")
    ln -s "../$library" "lib64/$name"
    # The linker looks for the name without a version.
    [[ $name != *.so.* ]] || ln -sf "$name" "lib64/${name%%.so.*}.so"
done

# Every function of the driver's header, with the error that NVIDIA's own stub returns (CUDA_ERROR_STUB_LIBRARY).
mkdir lib64/stubs
grep -oE '\bcu[A-Z][A-Za-z0-9]*(_v[0-9]+)?\b' include/cuda.h | sort -u |
    sed 's/.*/int &(void) { return 34; }/' |
    gcc -shared -fPIC -w -Wl,-soname,libcuda.so.1 -x c - -o lib64/stubs/libcuda.so

cat >environment <<END
export CUDA_HOME='$folder' CUDA_PATH='$folder'
export CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-$capability}
export PATH='$folder/bin':"\$PATH"
END
chmod 755 .
mv "$unfinished" "$folder"
trap - EXIT
echo "CUDA 13.0 is in '$folder'. Before building: source '$folder/environment'"
