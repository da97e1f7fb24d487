#!/usr/bin/env bash
# Builds the stand-in for CUDA into a folder, under the names of NVIDIA's libraries:
#
#   tests/cuda_stand_in/build.sh FOLDER
#   LASER_SCAN_NEEDS_GPU=1 LD_LIBRARY_PATH=FOLDER cargo test --features cuda
#
# Needs g++ and LAPACK (Debian's liblapack-dev).
set -euo pipefail

folder=${1:?usage: build.sh FOLDER}
mkdir -p "$folder"
g++ -std=c++17 -O2 -ffp-contract=off -Wall -Wextra -Werror -fPIC -shared -Wl,-z,defs \
    "$(dirname "$0")/stand_in.cpp" -llapack -lblas -o "$folder/libcuda.so.1"
for library in libcublas.so.13 libcusolver.so.12 libcublas.so.12 libcusolver.so.11; do
    ln -sf libcuda.so.1 "$folder/$library"
done
