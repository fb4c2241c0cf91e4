#!/usr/bin/env bash
# Runs a sweep on this machine as a cluster would: originals, then several tasks side by side that take the next missing cell, then
# the reducer. The folder is laid out as by `expunge submit`, so a sweep can move between both at any time. Run it again to go on.
#
#   launch/local.sh JOB.toml [--out DIR] [--tasks N] [--ranks N] [--set SECTION.KEY=VALUE]...
#
#   --out DIR    folder that holds the sweep's folder (default: results)
#   --tasks N    tasks side by side (default: one a core, divided by --ranks)
#   --ranks N    ranks of each task, all on one cell at a time (default: 1)
#   EXPUNGE      the program (default: build/bin/expunge of this checkout, else expunge)
#
# Exit codes: those of `expunge run`; the first other than 0 that a task had. Ctrl-C and SIGUSR1 make every task checkpoint.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${EXPUNGE:-$here/build/bin/expunge}
[[ -x $program ]] || program=expunge
job='' out=results tasks='' ranks=1 settings=()

usage() { echo "local.sh: $*; see launch/local.sh --help" >&2; exit 2; }
count() { [[ $2 =~ ^[1-9][0-9]*$ ]] || usage "$1 $2: expected a number of 1 or more"; }
while (($#)); do
  case $1 in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --out | --tasks | --ranks | --set)
      (($# > 1)) || usage "$1 needs a value"
      case $1 in
        --out) out=$2 ;;
        --tasks) count "$1" "$2"; tasks=$2 ;;
        --ranks) count "$1" "$2"; ranks=$2 ;;
        --set) settings+=(--set "$2") ;;
      esac
      shift 2 ;;
    -*) usage "unknown option $1" ;;
    *) [[ -z $job ]] || usage "unexpected $1"; job=$1; shift ;;
  esac
done
[[ -n $job ]] || usage "JOB.toml is missing"
command -v "$program" >/dev/null || { echo "local.sh: $program is not there: build it, or set EXPUNGE" >&2; exit 66; }
command -v mpirun >/dev/null || { echo "local.sh: mpirun is not on PATH" >&2; exit 66; }
tasks=${tasks:-$(($(nproc) / ranks > 0 ? $(nproc) / ranks : 1))}

"$program" check "$job" ${settings[@]+"${settings[@]}"} || exit
name=$("$program" plan "$job" --json --out "$out" ${settings[@]+"${settings[@]}"} | sed -n 's/^ "name": "\(.*\)",$/\1/p')
logs=$out/$name/logs
mkdir -p "$logs" || exit 73
export OMP_NUM_THREADS=1
export EXPUNGE_RUN="local $(hostname) $$ $(date +%s)"  # a cell that failed is not tried again by the other tasks
[[ $(id -u) == 0 ]] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

children=()
forward() { local child; for child in ${children[@]+"${children[@]}"}; do kill -"$1" "$child" 2>/dev/null; done; }
trap 'forward USR1' USR1
trap 'forward INT' INT
trap 'forward TERM' TERM

# mpirun of one task in the background; its exit code, or 76 when a rank was killed.
start() {  # stage, number
  mpirun --quiet --oversubscribe --bind-to none -n "$ranks" "$program" run "$job" --out "$out" --only "$1" --ranks-per-cell "$ranks" \
    ${settings[@]+"${settings[@]}"} >>"$logs/local.$1.$2.log" 2>&1 &
  children+=($!)
}
finish() {  # child
  wait "$1"
  local code=$?
  while kill -0 "$1" 2>/dev/null; do wait "$1"; code=$?; done
  ((code > 128 && code != 130)) && { echo "local.sh: a rank was killed by signal $((code - 128))" >&2; code=76; }
  return "$code"
}
stage() {  # stage, tasks: the first code that is not 0
  local worst=0 code child number
  children=()
  for ((number = 0; number < $2; ++number)); do start "$1" "$number"; done
  for child in "${children[@]}"; do
    finish "$child"
    code=$?
    ((worst)) || worst=$code
  done
  children=()
  return "$worst"
}

stage originals 1
code=$?
if ((code)); then
  echo "local.sh: originals: exit $code; last words in $logs/local.originals.0.log:" >&2
  tail -n 3 "$logs/local.originals.0.log" >&2
  exit "$code"
fi
stage cells "$tasks"
code=$?
((code)) && echo "local.sh: cells: exit $code; reasons: $program status $job --out $out; logs: $logs" >&2
"$program" reduce "$out/$name"
reduced=$?
((code)) && exit "$code"
exit "$reduced"
