#!/usr/bin/env bash
# Builds the stand-in for CUDA and lays it where a CUDA build of laser-scan looks for NVIDIA's libraries:
#
#   tests/cuda_stand_in/build.sh TOOLKIT
#   source TOOLKIT/environment
#   LD_LIBRARY_PATH=TOOLKIT/lib64 cargo test --features cuda
#
# TOOLKIT is what `examples/cuda-toolkit.sh --compiler-only TOOLKIT` has made. Needs g++ and LAPACK (Debian's liblapack-dev).
set -euo pipefail

toolkit=${1:?usage: build.sh TOOLKIT}
source_folder=$(dirname "$0")
g++ -std=c++17 -O2 -Wall -Wextra -Werror -fPIC -shared -Wl,-z,defs -Wl,-soname,libcuda_stand_in.so \
    "$source_folder/stand_in.cpp" -llapack -lblas -o "$toolkit/lib64/libcuda_stand_in.so"
for library in cuda nvrtc curand cublas cublasLt cusparse cusolver; do
    ln -sf libcuda_stand_in.so "$toolkit/lib64/lib$library.so"
done
