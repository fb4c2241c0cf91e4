#!/usr/bin/env bash
# Ours against the Python peers, in turns on this machine, and ratios of what they reached.
#
#   tests/bench/against_peers.sh --peers DIR [--data DIR] [--only ROW,...] [--quick] [--rounds N] [--cells N] [--models NAME,...]
#                                [--python PROGRAM] [--out DIR] [--reference FILE | --write FILE]
#
#   --peers      step_throughput.py, sweep_hf.py, unlearn_hf.py, reduce_json.py, requirements.txt
#   --data       data sets as the peers want them (cifar100/cifar-100-binary ...); default $EXPUNGE_DATA_ROOT
#   --only       of: step bf16 sweep serial short disturbed ranks sum reduce overhead gpu; default all
#   --quick      few steps, short sweeps, one round: shows that it works, not how fast anything is
#   --cells      of the row short; default 64
#   --models     of the rows step and bf16; default all eight
#   --python     with the packages of requirements.txt; default: an environment made once under ~/.cache/expunge/peers
#   --out        logs and ratios.txt; default build/against_peers
#   --reference  ratios to see a regression against; default tests/bench/reference_ratios.txt
#   --write      writes the ratios there instead of comparing
#
# Exit 0; 1 when a ratio is more than a tenth worse than its reference; 2 usage; 66 something is missing. Rows that cannot be
# measured here are printed with the reason. Leave the machine alone meanwhile.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
expunge=$root/build/bin/expunge
rows=(step bf16 sweep serial short disturbed ranks sum reduce overhead gpu)
peers="" data=${EXPUNGE_DATA_ROOT:-} only="" quick="" rounds="" cells="" models="" python="" out=$root/build/against_peers
reference=$root/tests/bench/reference_ratios.txt write=""

usage() { echo "against_peers: $1" >&2; exit 2; }
while (($#)); do
  case $1 in
    --quick) quick=1; shift ;;
    --peers|--data|--only|--rounds|--cells|--models|--python|--out|--reference|--write)
      [[ $# -ge 2 ]] || usage "$1 needs a value"
      printf -v "${1#--}" %s "$2"; shift 2 ;;
    -h|--help) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) usage "unknown option $1" ;;
  esac
done
[[ -n $peers ]] || usage "--peers DIR is missing"
for file in step_throughput.py sweep_hf.py unlearn_hf.py reduce_json.py; do
  [[ -f $peers/$file ]] || { echo "against_peers: $peers/$file is not there" >&2; exit 66; }
done
[[ -x $expunge ]] || { echo "against_peers: $expunge is not there; launch/build.sh first" >&2; exit 66; }
peers=$(cd "$peers" && pwd)
for row in ${only//,/ }; do [[ " ${rows[*]} " == *" $row "* ]] || usage "--only: unknown row $row (have: ${rows[*]})"; done
[[ -z $rounds || $rounds =~ ^[1-9][0-9]*$ ]] || usage "--rounds $rounds: expected a number"
rounds=${rounds:-$([[ -n $quick ]] && echo 1 || echo 3)}
[[ -z $cells || $cells =~ ^[1-9][0-9]*$ ]] || usage "--cells $cells: expected a number"
cells=${cells:-$([[ -n $quick ]] && echo 2 || echo 64)}
wanted() { [[ -z $only || ,$only, == *,$1,* ]]; }

mkdir -p "$out"
work=$(mktemp -d "${TMPDIR:-/tmp}/against_peers.XXXXXX")
busy=""
trap 'echo "against_peers: stopped; see $out/log.txt" >&2' ERR
trap '[[ -z $busy ]] || kill "$busy" 2>/dev/null; rm -rf "$work"' EXIT
: > "$out/ratios.txt"
: > "$out/log.txt"
export OMP_NUM_THREADS=1 OMPI_MCA_mpi_yield_when_idle=1
[[ $(id -u) != 0 ]] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpi() { mpirun --quiet --oversubscribe --bind-to none "$@"; }

# ---- results

calc() { awk "BEGIN { printf \"%.6g\", $1 }"; }
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
now() { date +%s.%N; }
# A field of a line of JSON on standard input.
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" | head -n 1; }

failed=0
# row NAME RATIO OPERATOR TARGET TEXT: a ratio with its target (>= or <=, or - for none), and with its reference.
row() {
  local verdict="" before=""
  case $3 in
    '>=') verdict=$(awk "BEGIN { print ($2 >= $4) ? \"reached\" : \"MISSED\" }") ;;
    '<=') verdict=$(awk "BEGIN { print ($2 <= $4) ? \"reached\" : \"MISSED\" }") ;;
  esac
  if [[ -z $write && -f $reference ]]; then
    before=$(awk -v name="$1" '$1 == name { print $2 }' "$reference")
    if [[ -n $before ]] && awk "BEGIN { exit !(\"$3\" == \"<=\" ? $2 > 1.1 * $before : $2 < 0.9 * $before) }"; then
      verdict+=" WORSE"
      [[ -n $quick ]] || failed=1
    fi
  fi
  printf '%s %.4g\n' "$1" "$2" >> "$out/ratios.txt"
  printf '%-34s %8.3f  %-9s %-14s %-9s %s\n' "$1" "$2" "${3/-/} ${4:-}" "$verdict" "${before:--}" "$5"
}
absent() { printf '%-34s %8s  %s\n' "$1" - "not measured: $2"; }

# ---- the peers' environment

python_reason=""
prepare_python() {
  [[ -z $python ]] || return 0
  local home=${XDG_CACHE_HOME:-$HOME/.cache}/expunge/peers/venv
  if [[ ! -f $home/complete ]]; then
    echo "making $home (once; gigabytes)" >&2
    { "$(command -v python3.11 || command -v python3)" -m venv "$home" && "$home/bin/pip" install -q -r "$peers/requirements.txt" \
        && touch "$home/complete"; } >> "$out/log.txt" 2>&1 || { python_reason="no Python with the peers' packages (see $out/log.txt)"; return 0; }
  fi
  python=$home/bin/python
}
# The peers at their best keep freed pages: their README says how.
peer_kept() { MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=268435456 "$@"; }
needs_python() {
  [[ -n $python_reason ]] || prepare_python
  [[ -z $python_reason ]] || { absent "$1" "$python_reason"; return 1; }
}
needs_data() {
  [[ -n $data && -f $data/cifar100/cifar-100-binary/train.bin ]] || { absent "$1" "no cifar100/cifar-100-binary in --data"; return 1; }
}

# ---- training steps

known_models=(resnet20 resnet18-32 resnet18-224 vit-small vit-base bert-small bert-base llama-tiny)
IFS=, read -ra models <<< "${models:-$(IFS=,; echo "${known_models[*]}")}"
for model in "${models[@]}"; do
  [[ " ${known_models[*]} " == *" $model "* ]] || usage "--models: unknown model $model (have: ${known_models[*]})"
done
convolutional=" resnet20 resnet18-32 resnet18-224 "
# One grain a rank where the default rule (a quarter of the batch) makes grains of one or two samples: each of them writes the whole
# gradient of 100 M parameters.
declare -A ours=(
  [resnet20]="--model resnet20 --size 32 --classes 10 --batch 128"
  [resnet18-32]="--model resnet18 --size 32 --classes 100 --batch 64"
  [resnet18-224]="--model resnet18 --size 224 --classes 100 --batch 16"
  [vit-small]="--config $work/vit.json --size 32 --batch 64"
  [vit-base]="--model vit_base --size 224 --classes 100 --batch 4 --grain 2"
  [bert-small]="--model bert-small --size 128 --classes 2 --batch 32"
  [bert-base]="--model bert-base-uncased --size 128 --classes 2 --batch 8 --grain 4"
  [llama-tiny]="--config $work/llama.json --size 128 --batch 8")
declare -A best_fp32=([resnet20]=1.05 [resnet18-32]=1.05 [resnet18-224]=1.05 [vit-small]=1.05 [vit-base]=1.05 [bert-small]=1.05
  [bert-base]=1.05 [llama-tiny]=1.05)
declare -A best_bf16=([resnet20]=1.25 [resnet18-32]=1.25 [resnet18-224]=1.1 [vit-small]=1.25 [vit-base]=1.1 [bert-small]=1.25
  [bert-base]=1.1 [llama-tiny]=1.25)
declare -A default_fp32=([resnet20]=1.25 [resnet18-32]=1.25 [resnet18-224]=1.2)
declare -A ceiling_fp32=([vit-base]=0.84 [bert-base]=0.84) ceiling_bf16=([vit-base]=0.70 [bert-base]=0.70)
cat > "$work/vit.json" <<'JSON'
{"model_type": "vit", "num_channels": 3, "image_size": 32, "patch_size": 4, "hidden_size": 192, "num_hidden_layers": 9,
 "num_attention_heads": 3, "intermediate_size": 768, "num_labels": 100}
JSON
cat > "$work/llama.json" <<'JSON'
{"model_type": "llama", "vocab_size": 32000, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
 "num_key_value_heads": 4, "intermediate_size": 688}
JSON
steps() { # measured steps of a round: about as long as the peers measure
  case $1 in vit-base|bert-base) echo 4 ;; resnet18-224|bert-small|llama-tiny) echo 8 ;; *) echo 20 ;; esac
}
# our_step RANKS MODEL OPTION...: a line of JSON.
our_step() {
  local ranks=$1 model=$2 count=2
  [[ -n $quick ]] || count=$(steps "$2")
  # shellcheck disable=SC2086
  mpi -n "$ranks" "$expunge" bench step --device cpu ${ours[$model]} --steps "$count" --warm 2 --rounds 1 --json "${@:3}" 2>> "$out/log.txt"
}
# peer_step FILE MODEL MODES OPTION...: rows as JSON, in the caller's precision.
peer_step() {
  local file=$1 model=$2 modes=$3
  PEERS=$peers GEMM=$work/gemm.json PRECISION=$precision "$python" "$root/tests/bench/peer_step.py" --models "$model" --modes "$modes" --seconds "$([[ -n $quick ]] && echo 0.2 || echo 2)" \
    --min-steps "$([[ -n $quick ]] && echo 2 || echo 4)" --tries 2 --out "$file" "${@:4}" >> "$out/log.txt" 2>&1
}
# The best training rate of a file, its FLOP a sample and the GEMM ceiling on two threads, for a precision.
peer_best() {
  "$python" - "$1" "$2" <<'PY'
import json, sys
found = json.load(open(sys.argv[1]))
rows = [r for r in found["rows"] if r["phase"] == "train" and r["variant"].startswith(sys.argv[2])]
best = max(rows, key=lambda r: r["samples_per_s"])
print(best["samples_per_s"], best["gflop_per_sample"], found["gemm_gflops"]["2"][sys.argv[2]], best["mode"], best["variant"])
PY
}

step_rows() {
  local precision=$1 target model round peer flop ceiling mode variant mine
  needs_python "step-$precision" || return 0
  if [[ $precision == bf16 ]] && ! grep -q -w -E 'avx512_bf16|amx_bf16|bf16' /proc/cpuinfo; then
    absent step-bf16 "the processor has no bf16 arithmetic"
    return 0
  fi
  for model in "${models[@]}"; do
    : > "$work/best"; : > "$work/default"; : > "$work/share"
    for ((round = 0; round < rounds; ++round)); do
      peer_kept peer_step "$work/a.json" "$model" 1x2,ddp2x1 "--$precision" || { absent "step-$precision/$model" "the peer failed (see $out/log.txt)"; continue 2; }
      read -r peer flop ceiling mode variant < <(peer_best "$work/a.json" "$precision")
      mine=$(our_step 2 "$model" --precision "$precision" --no-bare | field samples_per_s)
      if [[ $convolutional == *" $model "* ]]; then
        peer_kept peer_step "$work/b.json" "$model" 1x2,ddp2x1 "--$precision" --channels-last
        read -r other _ _ othermode othervariant < <(peer_best "$work/b.json" "$precision")
        if awk "BEGIN { exit !($other > $peer) }"; then peer=$other mode=$othermode variant=$othervariant; fi
      fi
      calc "$mine / $peer" >> "$work/best"; echo >> "$work/best"
      calc "$mine * $flop / $ceiling" >> "$work/share"; echo >> "$work/share"
      if [[ $precision == fp32 && -n ${default_fp32[$model]:-} ]]; then
        peer_step "$work/c.json" "$model" 1x2 --fp32
        calc "$mine / $(peer_best "$work/c.json" fp32 | cut -d ' ' -f 1)" >> "$work/default"; echo >> "$work/default"
      fi
    done
    [[ $precision == fp32 ]] && target=${best_fp32[$model]} || target=${best_bf16[$model]}
    row "step-$precision/$model" "$(median < "$work/best")" '>=' "$target" "ours $mine/s, peer's best $peer/s ($mode $variant)"
    if [[ -s $work/default ]]; then
      row "step-$precision/$model/default" "$(median < "$work/default")" '>=' "${default_fp32[$model]}" "against the peer's default, 1x2"
    fi
    [[ $precision == fp32 ]] && target=${ceiling_fp32[$model]:-} || target=${ceiling_bf16[$model]:-}
    if [[ -n $target ]]; then
      row "step-$precision/$model/gemm" "$(median < "$work/share")" '>=' "$target" "share of the GEMM ceiling, $ceiling GFLOP/s"
    fi
  done
}

ranks_rows() {
  local name model batch mine
  for name in resnet18-32 vit-small bert-small; do
    batch=(); [[ $name != resnet18-32 ]] || batch=(--batch 256)
    : > "$work/ranks"
    for ((round = 0; round < rounds; ++round)); do
      calc "$(our_step 2 "$name" "${batch[@]}" --no-bare | field samples_per_s) / $(our_step 1 "$name" "${batch[@]}" --no-bare | field samples_per_s)" >> "$work/ranks"
      echo >> "$work/ranks"
    done
    row "ranks/$name" "$(median < "$work/ranks")" '>=' 1.85 "two ranks against one"
  done
}

overhead_rows() {
  local name line
  for name in resnet20 resnet18-32 vit-small bert-small; do
    : > "$work/overhead"
    for ((round = 0; round < rounds; ++round)); do
      line=$(our_step 1 "$name")
      calc "$(field step_s <<< "$line") / $(field bare_step_s <<< "$line")" >> "$work/overhead"; echo >> "$work/overhead"
    done
    row "overhead/$name" "$(median < "$work/overhead")" '<=' 1.03 "engine / bare LibTorch loop"
  done
}

sum_rows() {
  local size
  for size in 1M 10M 100M; do
    mpi -n 2 "$expunge" bench allreduce --sizes "$size" > "$work/sum" 2>> "$out/log.txt"
    row "sum/$size" "$(tail -n 1 "$work/sum" | awk '{ print $5 }')" '<=' 1.10 "ordered / native, seconds on two ranks"
  done
}

# ---- sweeps

train=$([[ -n $quick ]] && echo 320 || echo 4000) test=$([[ -n $quick ]] && echo 100 || echo 1000)
peer_methods=$([[ -n $quick ]] && echo finetune,neggrad || echo retrain,finetune,neggrad,random_label,bad_teaching,scrub,salun)
our_methods=$([[ -n $quick ]] && echo '"finetune", "neggrad"' || echo '"retrain", "finetune", "neggrad", "rand_label", "bad_t", "scrub", "salun"')
short_seeds=$(seq -s , 1 "$cells")
peer_options=(--dataset cifar100 --arch resnet18 --max-train "$train" --max-test "$test")

# our_job NAME METHODS RATIOS SEEDS [LINE OF [evaluate]]: the peers' sweep as a job file, a batch being one grain as it is for
# them. bad_t takes as many samples of D_r as D_f has, over both ratios.
our_job() {
  cat > "$work/$1.toml" <<TOML
[sweep]
name = "$1"
dataset = ["cifar100"]
model = ["resnet18"]
method = [$2]
ratio = [$3]
seed = [$4]
[data]
train_limit = $train
test_limit = $test
[original]
epochs = 3
batch = 32
grain = 32
[train]
epochs = 1
batch = 32
grain = 32
[method.bad_t]
retain_fraction = 0.0638
reduction = "joint"
[method.scrub]
max_epochs = 1
[evaluate]
metrics = ["accuracy", "auc"]
${5:-}
TOML
}
# our_sweep NAME: seconds of its cells, the original being there.
our_sweep() {
  local start
  export EXPUNGE_DATA_ROOT=$data EXPUNGE_CACHE=$work/cache
  mpi -n 2 "$expunge" --quiet run --device cpu "$work/$1.toml" --out "$work/ours" --only originals >> "$out/log.txt" 2>&1
  start=$(now)
  mpi -n 2 "$expunge" --quiet run --device cpu "$work/$1.toml" --out "$work/ours" --only cells --ranks-per-cell 1 --fresh >> "$out/log.txt" 2>&1
  calc "$(now) - $start"
}
peer_original() {
  [[ -d $work/original ]] || "$python" "$peers/unlearn_hf.py" --data "$data" --cache "$work/arrow" --out "$work/original" --method original \
    --epochs 3 "${peer_options[@]}" >> "$out/log.txt" 2>&1
}
# peer_sweep JOBS METHODS RATIOS SEEDS: seconds.
peer_sweep() {
  local folder; folder=$(mktemp -d "$work/peer.XXXXXX")
  peer_kept "$python" "$peers/sweep_hf.py" --data "$data" --cache "$work/arrow" --out "$folder" --jobs "$1" --checkpoint "$work/original" \
    --methods "$2" --ratios "$3" --seeds "$4" -- "${peer_options[@]}" >> "$out/log.txt" 2>&1
  sed -n 's/.*"wall_seconds": \([0-9.]*\).*/\1/p' "$folder/sweep.json" | head -n 1
}

sweep_rows() {
  needs_python sweep && needs_data sweep || return 0
  peer_original || { absent sweep "the peer failed (see $out/log.txt)"; return 0; }
  our_job sweep "$our_methods" "0.02, 0.10" 42
  : > "$work/two"
  local ours_s peer_s
  for ((round = 0; round < rounds; ++round)); do
    peer_s=$(peer_sweep 2 "$peer_methods" 2,10 42)
    ours_s=$(our_sweep sweep)
    calc "$peer_s / $ours_s" >> "$work/two"; echo >> "$work/two"
  done
  row sweep/two-at-a-time "$(median < "$work/two")" '>=' 2.0 "ours $ours_s s, peer $peer_s s"
  absent sweep/bf16 "the peer's sweep knows fp32 alone"
}

# The same against the peer's runs one after another, with both cores' threads each.
serial_rows() {
  needs_python serial && needs_data serial || return 0
  peer_original || { absent serial "the peer failed (see $out/log.txt)"; return 0; }
  our_job sweep "$our_methods" "0.02, 0.10" 42
  local ours_s peer_s
  ours_s=$(our_sweep sweep)
  peer_s=$(peer_sweep 1 "$peer_methods" 2,10 42)
  row sweep/one-at-a-time "$(calc "$peer_s / $ours_s")" '>=' 2.9 "ours $ours_s s, peer $peer_s s"
}

short_rows() {
  needs_python short && needs_data short || return 0
  peer_original || { absent short "the peer failed (see $out/log.txt)"; return 0; }
  our_job short '"neggrad"' 0.02 "${short_seeds//,/, }"
  local ours_s peer_s
  peer_s=$(peer_sweep 2 neggrad 2 "$short_seeds")
  ours_s=$(our_sweep short)
  row short/all-splits "$(calc "$peer_s / $ours_s")" '>=' 2.7 "$cells cells: ours $ours_s s, peer $peer_s s"
  our_job short_few '"neggrad"' 0.02 "${short_seeds//,/, }" 'splits = ["forget", "test"]'
  ours_s=$(our_sweep short_few)
  row short/forget-and-test "$(calc "$peer_s / $ours_s")" '>=' 8 "ours $ours_s s, peer $peer_s s (which evaluates all)"
}

disturbed_rows() {
  needs_data disturbed || return 0
  our_job disturbed '"finetune", "neggrad", "scrub"' "0.02, 0.10" 42
  local alone beside
  alone=$(our_sweep disturbed)
  if command -v taskset > /dev/null; then taskset -c 0 bash -c 'while :; do :; done' & else bash -c 'while :; do :; done' & fi
  busy=$!
  beside=$(our_sweep disturbed)
  kill "$busy"; wait "$busy" 2> /dev/null || true
  busy=""
  row disturbed "$(calc "$beside / $alone")" '<=' 2.1 "$alone s alone, $beside s beside a busy loop on one core"
}

# ---- reducing

reduce_rows() {
  needs_python reduce || return 0
  local runs=15049 folder start ours_s peer_s
  [[ -z $quick ]] || runs=500
  "$python" "$peers/reduce_json.py" make "$work/tree" --runs "$runs" >> "$out/log.txt" 2>&1
  folder=$("$expunge" bench store --count "$runs" --out "$work" --keep | tail -n 1)
  : > "$work/reduce"
  for ((round = 0; round < 2 * rounds + 1; ++round)); do
    start=$(now); "$python" "$peers/reduce_json.py" reduce "$work/tree" --pandas >> "$out/log.txt" 2>&1; peer_s=$(calc "$(now) - $start")
    start=$(now); "$expunge" reduce --full --readers 2 "$folder" >> "$out/log.txt" 2>&1; ours_s=$(calc "$(now) - $start")
    calc "$peer_s / $ours_s" >> "$work/reduce"; echo >> "$work/reduce"
  done
  row reduce "$(median < "$work/reduce")" '>=' 1.3 "ours $ours_s s, peer $peer_s s, $runs results"
}

# On one GPU, bf16. Ours with and without CUDA graphs, the better one counts; its FLOPs are the model's, a multiply-add counts two.
declare -A on_gpu=(
  [resnet50]="--model resnet50 --size 224 --classes 1000"
  [vit-base]="--model vit_base --size 224 --classes 1000"
  [bert-base]="--model bert-base-uncased --size 128 --classes 2")
declare -A gpu_gemm=([vit-base]=0.50 [bert-base]=0.50)
our_gpu_step() {
  # shellcheck disable=SC2086
  OMP_NUM_THREADS=8 "$expunge" bench step --device cuda ${on_gpu[$1]} --batch 128 --grain 128 --precision bf16 --no-bare --rounds 1 --json \
    --steps "$([[ -n $quick ]] && echo 5 || echo 50)" --warm 10 "${@:2}" 2>> "$out/log.txt"
}

gpu_rows() {
  if ! command -v nvidia-smi > /dev/null || ! nvidia-smi > /dev/null 2>&1; then absent gpu "no GPU"; return 0; fi
  needs_python gpu || return 0
  local model line best how peer
  for model in resnet50 vit-base bert-base; do
    : > "$work/gpu"; : > "$work/gpu_gemm"
    for ((round = 0; round < rounds; ++round)); do
      peer=$("$python" "$root/tests/bench/peer_gpu_step.py" --model "$model" --seconds "$([[ -n $quick ]] && echo 0.5 || echo 5)" 2>> "$out/log.txt") \
        || { absent "gpu/$model" "the peer failed (see $out/log.txt)"; continue 2; }
      best=0 how=""
      for graphs in "" --cuda-graphs; do
        # shellcheck disable=SC2086
        line=$(our_gpu_step "$model" $graphs) || { absent "gpu/$model" "bench step failed (see $out/log.txt)"; continue 3; }
        if awk "BEGIN { exit !($(field samples_per_s <<< "$line") > $best) }"; then
          best=$(field samples_per_s <<< "$line") how=${graphs:-kernel by kernel}
          calc "$(field flops_per_s <<< "$line") / $(field gemm_flops_per_s <<< "$peer")" > "$work/share"
        fi
      done
      calc "$best / $(field samples_per_s <<< "$peer")" >> "$work/gpu"; echo >> "$work/gpu"
      cat "$work/share" >> "$work/gpu_gemm"; echo >> "$work/gpu_gemm"
    done
    row "gpu/$model" "$(median < "$work/gpu")" '>=' 1.2 "ours $best/s ($how), peer $(field samples_per_s <<< "$peer")/s ($(field variant <<< "$peer")), $(field device <<< "$peer")"
    if [[ -n ${gpu_gemm[$model]:-} ]]; then
      row "gpu/$model/gemm" "$(median < "$work/gpu_gemm")" '>=' "${gpu_gemm[$model]}" "share of the bf16 GEMM ceiling, $(field gemm_flops_per_s <<< "$peer") FLOP/s"
    fi
  done
}

echo "$("$expunge" --version) on $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(getconf _NPROCESSORS_ONLN) CPUs, $(date -u +%F), $rounds round(s)${quick:+, quick}"
printf '%-34s %8s  %-9s %-14s %-9s %s\n' row ratio target verdict reference ""
! wanted step || step_rows fp32
! wanted bf16 || step_rows bf16
for name in sweep serial short disturbed ranks sum reduce overhead gpu; do ! wanted "$name" || "${name}_rows"; done

if [[ -n $write ]]; then
  { echo "# Ratios of tests/bench/against_peers.sh: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(getconf _NPROCESSORS_ONLN) CPUs, $(date -u +%F)."
    cat "$out/ratios.txt"; } > "$write"
fi
exit "$failed"
