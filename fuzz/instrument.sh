#!/usr/bin/env bash
# The compiler, with libFuzzer's coverage for laser-scan itself and the fuzz targets; a wrapper for cargo to call
# (RUSTC_WORKSPACE_WRAPPER). Dependencies stay as they are, so that nothing of them is built anew, and build scripts,
# which have no libFuzzer to link with, are left alone.
coverage=(
    --cfg fuzzing
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
)
case " $* " in
    *" --crate-name build_script_"*) exec "$@" ;;
    *) exec "$@" "${coverage[@]}" ;;
esac
