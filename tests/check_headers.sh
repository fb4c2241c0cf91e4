#!/usr/bin/env bash
# Compiles every header under src alone, with the flags (and for the torch layers the precompiled header) of the sources beside it:
# once for each set of flags its folder is built with. Prints what does not compile; exit 1 when there is any.
#
#   tests/check_headers.sh BUILD
set -uo pipefail
build=$(realpath "${1:?usage: tests/check_headers.sh BUILD}")
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# "FOLDER<tab>COMMAND" once for each object library that compiles sources of the folder, without launcher, input and output.
awk -v root="$root/src/" '
  /"command":/ { command = $0; sub(/^[^:]*: "/, "", command); sub(/",?$/, "", command); gsub(/\\"/, "\"", command); gsub(/\\\\/, "\\", command) }
  /"file":/ {
    file = $0; sub(/^[^:]*: "/, "", file); sub(/",?$/, "", file)
    match(command, / -o [^ ]*/); target = substr(command, RSTART + 4, RLENGTH - 4); sub(/\.dir\/.*/, "", target); sub(/^.*\//, "", target)
    folders = ""
    if (file ~ /\/Unity\//) {  # several sources as one: the layer that they belong to
      if (target !~ /^expunge_layer_/) next
      folders = target; sub(/^expunge_layer_/, "", folders); sub(/_descriptors$/, "s", folders)
      if (command ~ / -DEXPUNGE_ENGINE /) folders = folders " " folders "/torch"
    } else if (index(file, root) == 1 && file ~ /\.cpp$/) {
      folders = substr(file, length(root) + 1); sub(/\/?[^\/]*$/, "", folders)
    }
    sub(/ -o [^ ]*/, "", command); sub(/ -c [^ ]*/, "", command); sub(/^.*ccache /, "", command)
    count = split(folders, each, " ")
    for (i = 1; i <= count; ++i)
      if (!seen[each[i], target]++) print each[i] "\t" command
  }' "$build/compile_commands.json" >"$work/commands"
[[ -s $work/commands ]] || { echo "$build/compile_commands.json: names no sources under src"; exit 1; }

# One job file per header and set of flags.
count=0
while read -r header; do
  folder=$(dirname "${header#src/}")
  while ! cut -f1 "$work/commands" | grep -qxF "$folder"; do  # a folder of headers alone: as the folder above it, at last as core
    [[ $folder == */* ]] && folder=$(dirname "$folder") || folder=core
  done
  while IFS=$'\t' read -r _ command; do
    count=$((count + 1))
    printf '#include "%s"\n' "${header#src/}" >"$work/$count.cpp"
    printf 'cd %q && echo "%s:" && %s -Wno-unused -fsyntax-only -x c++ %q\n' "$build" "$header" "$command" "$work/$count.cpp" >"$work/$count.sh"
  done < <(grep -P "^\Q$folder\E\t" "$work/commands")
done < <(find src -name '*.hpp' | sort)

find "$work" -name '*.sh' -print0 | xargs -0 -P "$(nproc)" -I {} sh -c 'sh {} >{}.log 2>&1 || cat {}.log >>'"$work"'/failures'
if [[ -s $work/failures ]]; then
  cat "$work/failures"
  exit 1
fi
echo "$count compilations of $(find src -name '*.hpp' | wc -l) headers"
