#!/usr/bin/env bash
# Configures and builds one preset of CMakePresets.json (default: release).
#
#   launch/build.sh [PRESET [cmake options]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${1:-release}
shift || true

# A file that includes LibTorch takes up to 1.5 GB to compile.
memory_kib=$(awk '/^MemAvailable/ {print $2}' /proc/meminfo)
jobs=$((memory_kib / 1500000))
cores=$(OMP_NUM_THREADS='' nproc)  # nproc obeys OMP_NUM_THREADS
((jobs > cores)) && jobs=$cores
((jobs < 1)) && jobs=1

echo "build: preset $preset with $jobs jobs"
cmake --preset "$preset" "$@" >/dev/null
cmake --build --preset "$preset" -j "${CMAKE_BUILD_PARALLEL_LEVEL:-$jobs}"
