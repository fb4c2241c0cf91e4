#!/usr/bin/env bash
# Checks every #include "layer/..." under src against the table of expunge_layer() calls in src/CMakeLists.txt, that the torch-free
# layers include no LibTorch header, that MPI, HDF5, CUDA and NCCL headers stay in the folder that wraps them, and that the
# libraries that must start without LibTorch do not need it.
#
#   tests/check_layers.sh [BUILD]      prints one line per violation; exit 1 when there is any
set -uo pipefail
build=${1:-}
[[ -n $build ]] && build=$(realpath "$build")
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# "LAYER FOLDER TORCH USED..." of each layer.
export LAYERS
LAYERS=$(tr '\n' ' ' <src/CMakeLists.txt | grep -o 'expunge_layer([^)]*)' | sed 's/expunge_layer(\([^)]*\))/\1/' | awk '
  {
    folder = $1; torch = 0; uses = ""; key = ""
    for (i = 2; i <= NF; ++i) {
      if ($i == "TORCH") torch = 1
      else if ($i ~ /^[A-Z_]+$/) key = $i
      else if (key == "FOLDER") folder = $i
      else if (key == "USES") uses = uses " " $i
    }
    print $1, folder, torch uses
  }')
[[ $(wc -l <<<"$LAYERS") -ge 10 ]] || { echo "src/CMakeLists.txt: only $(wc -l <<<"$LAYERS") layers found: has the table moved?"; exit 1; }

# methods/ and models/ are two layers each: outside #ifdef EXPUNGE_ENGINE the torch-free descriptor's rules hold.
# shellcheck disable=SC2016
violations=$(find src -name '*.cpp' -o -name '*.hpp' -o -name '*.cu' | sort | xargs awk '
  BEGIN {
    count = split(ENVIRON["LAYERS"], lines, "\n")
    for (l = 1; l <= count; ++l) {
      n = split(lines[l], f, " ")
      folder[f[1]] = f[2]; torch[f[1]] = f[3]; known[f[2]] = 1
      if (f[1] != f[2]) descriptor[f[2]] = f[1]
      may[f[1], f[2]] = 1
      for (i = 4; i <= n; ++i) may[f[1], f[i]] = 1
    }
    split("mpi.h comm|hdf5.h store|nccl.h cuda|cuda.h cuda|cuda_runtime.h cuda|cuda_runtime_api.h cuda", pairs, "|")
    for (p in pairs) { split(pairs[p], f, " "); wrapped[f[1]] = f[2] }
  }
  function complain(what) { printf "%s:%d: %s\n", FILENAME, FNR, what }
  FNR == 1 {
    split(FILENAME, path, "/"); here = path[2]; depth = 0; engine_at = 0
    engine_only = FILENAME ~ /^src\/models\/torch\//
  }
  /^[ \t]*#[ \t]*if/ { ++depth; if ($0 ~ /ifdef[ \t]+EXPUNGE_ENGINE/ && !engine_at) engine_at = depth }
  /^[ \t]*#[ \t]*else/ { if (engine_at == depth) engine_at = 0 }
  /^[ \t]*#[ \t]*endif/ { if (engine_at == depth) engine_at = 0; --depth }
  /^[ \t]*#[ \t]*include/ {
    match($0, /["<][^">]*[">]/); header = substr($0, RSTART + 1, RLENGTH - 2); quoted = substr($0, RSTART, 1) == "\""
    base = header; sub(/.*\//, "", base)
    if (base in wrapped && !quoted && wrapped[base] != here && here != "cuda") complain("<" header "> belongs into src/" wrapped[base])
    if (here == "cuda") next  # the plugin: may see everything
    free = here == "cli" || !(here in known)
    layer = (here in descriptor) && !engine_at && !engine_only ? descriptor[here] : here
    torch_free = here == "cli" || !torch[layer]
    if (torch_free && (header ~ /^(torch|ATen|c10)\// || header ~ /^(tensor|tasks|models\/torch)\//)) complain("torch-free, but includes " header)
    if (!quoted || free) next
    split(header, to, "/")
    if (header ~ /\// && (to[1] in known) && !((layer, to[1]) in may)) complain("layer " layer " may not include " header)
    if (header ~ /^\.\.?\// || header !~ /\//) complain("include \"" header "\" by its path under src")
  }')

needed() {  # file that must start without LibTorch
  [[ -e $1 ]] || { echo "$1: not built"; return; }
  readelf -d "$1" | awk -v file="$1" '/NEEDED/ && /libtorch|libc10|libcudart|libnccl/ {print file ": needs " $NF}'
}
if [[ -n $build ]]; then
  violations+=$(printf '\n'; needed "$build/lib/libexpunge_base.so"; needed "$build/bin/expunge")
fi
violations=$(sed '/^$/d' <<<"$violations")
[[ -z $violations ]] && exit 0
echo "$violations"
exit 1
