#!/usr/bin/env bash
# Runs a study of jobs/studies on this machine and prints its tables: the job's variants one after the other (launch/local.sh), each
# reduced to a board, then `expunge study`. Finished cells are skipped when it is run again.
#
#   launch/study.sh NAME [--out DIR]
#
#   NAME     ablation attacks budget capacity curriculum ensembles peft transfer variance
#   --out    folder that holds the sweeps' folders (default: results); the plots come to DIR/plots as SVG files
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
expunge=${EXPUNGE:-$here/build/bin/expunge}
[[ -x $expunge ]] || expunge=expunge
usage() { echo "study.sh: $*; see launch/study.sh --help" >&2; exit 2; }
name='' out=results
while (($#)); do
  case $1 in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --out) (($# > 1)) || usage "--out needs a value"; out=$2; shift 2 ;;
    -*) usage "unknown option $1" ;;
    *) [[ -z $name ]] || usage "unexpected $1"; name=$1; shift ;;
  esac
done
[[ -n $name ]] || usage "NAME is missing"
job=$here/jobs/studies/$name.toml
[[ -f $job ]] || usage "no study job \"$name\" (have: $(cd "$here/jobs/studies" && printf '%s ' *.toml | sed 's/\.toml//g'))"

sweeps=()
# A variant's suffix ("": the job as it is), then the settings that make it.
run() {
  local suffix=$1 setting options=()
  shift
  for setting in "$@"; do options+=(--set "$setting"); done
  [[ -z $suffix ]] || options+=(--set "sweep.name=\"study_${name}_$suffix\"")
  "$here/launch/local.sh" "$job" --out "$out" "${options[@]+"${options[@]}"}"
  sweeps+=("$out/study_$name${suffix:+_$suffix}")
}
study() { "$expunge" study "$@" --svg "$out/plots"; }

case $name in
  budget)
    for share in 1 5 10 25; do run "$share" "budget.flops=\"$share% of retrain\""; done
    study budget "${sweeps[@]}"
    study scaling "${sweeps[@]}" ;;
  peft)
    run all
    for share in 10 20 50; do run "lora$share" "train.trainable=\"lora:$share%\""; done
    study peft "${sweeps[@]}" ;;
  curriculum)
    for curriculum in none superloss; do run "$curriculum" "train.curriculum={name=\"$curriculum\"}"; done
    study curriculum "${sweeps[@]}" ;;
  ablation)
    run full
    run alpha0 method.scrub.alpha=0.0
    run gamma0 method.scrub.gamma=0.0
    run unmasked method.salun.rho=1.0
    study variants "${sweeps[@]}" --by sweep ;;
  attacks)
    run ''
    "$expunge" reduce "${sweeps[0]}" --recompute mia_svm,retrain_likeness,calibration,groups
    for question in mia relearn time classes; do study "$question" "${sweeps[@]}"; done ;;
  ensembles)
    run ''
    for question in ulira klom; do study "$question" "${sweeps[@]}"; done ;;
  variance)
    run ''
    study variance "${sweeps[@]}" --column auc_gold_prob --gap 0.01 ;;
  *)
    run ''
    study "$name" "${sweeps[@]}" ;;
esac
