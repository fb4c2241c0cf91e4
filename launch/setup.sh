#!/usr/bin/env bash
# Installs or finds what Expunge needs to build: system packages and LibTorch. Safe to run again: it does only what is missing.
#
#   launch/setup.sh [--tests] [--cuda] [--no-torch]
#
#   --tests     also what the tests need (GoogleTest, clang-format, Slurm and munge for a cluster on this machine, Chromium for
#               the test of the HTML page, h5py and pandas for that of a board in Python)
#   --cuda      also the libraries that LibTorch needs on a GPU (several GB)
#   --no-torch  no LibTorch: for the torch-free layers only
#
# As root on Debian or Ubuntu, missing packages are installed with apt. Otherwise they are named; what lies in CMAKE_PREFIX_PATH,
# CPATH or on PATH (environment modules, conda) counts as present. LibTorch: EXPUNGE_TORCH, LIBTORCH or Torch_DIR if set, else the
# official wheel, unpacked once under EXPUNGE_DEPS (default: ~/.cache/expunge/deps).
set -euo pipefail

readonly torch_version=2.11.0
readonly cpu_wheels=("torch==$torch_version" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)
readonly deps=${EXPUNGE_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/expunge/deps}

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

with_tests=false with_cuda=false with_torch=true
for argument in "$@"; do
  case $argument in
    --tests) with_tests=true ;;
    --cuda) with_cuda=true ;;
    --no-torch) with_torch=false ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "setup: unknown option $argument (have: --tests, --cuda, --no-torch)" >&2; exit 2 ;;
  esac
done

# --- system packages -------------------------------------------------------------------------------------------------

# package, then how to see that it is there: a command, a header, or a Python module.
readonly required="
g++ command:g++
cmake command:cmake
ninja-build command:ninja
pkg-config command:pkg-config
git command:git
ca-certificates file:/etc/ssl/certs/ca-certificates.crt
python3 command:python3
python3-pip module:pip
unzip command:unzip
openmpi-bin command:mpirun
libopenmpi-dev command:mpicc
libhdf5-dev header:hdf5.h
hdf5-tools command:h5dump
libtomlplusplus-dev header:toml++/toml.h
libfmt-dev header:fmt/format.h
nlohmann-json3-dev header:nlohmann/json.hpp
libssl-dev header:openssl/evp.h
zlib1g-dev header:zlib.h
libpng-dev header:png.h
libjpeg-dev header:jpeglib.h
libxxhash-dev header:xxhash.h
libutf8proc-dev header:utf8proc.h
libexpat1-dev header:expat.h"
readonly required_for_tests="
libgtest-dev header:gtest/gtest.h"
readonly optional="
ccache command:ccache
mold command:mold"
readonly optional_for_tests="
clang-format-14 command:clang-format-14
slurm-wlm command:slurmctld
munge command:munged
chromium command:chromium
python3-h5py module:h5py
python3-pandas module:pandas"

has_header() {
  local prefixes folder
  IFS=':;' read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-};${HDF5_ROOT:-};${HDF5_DIR:-};${CONDA_PREFIX:-};/usr/local;/usr"
  local folders=()
  for folder in "${prefixes[@]}"; do [[ -n $folder ]] && folders+=("$folder/include"); done
  IFS=: read -ra prefixes <<<"${CPATH:-}:${CPLUS_INCLUDE_PATH:-}"
  folders+=("${prefixes[@]}" /usr/include/hdf5/serial "/usr/include/$(uname -m)-linux-gnu")
  for folder in "${folders[@]}"; do [[ -n $folder && -e $folder/$1 ]] && return 0; done
  return 1
}

present() {  # kind:what
  case $1 in
    command:*) command -v "${1#*:}" >/dev/null ;;
    header:*) has_header "${1#*:}" ;;
    file:*) [[ -e ${1#*:} ]] ;;
    module:*) python3 -c "import ${1#*:}" 2>/dev/null ;;
  esac
}

missing_of() {  # a table as above
  local package probe
  while read -r package probe; do
    [[ -z $package ]] || present "$probe" || echo "$package"
  done <<<"$1"
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=550 -qq "$@"; }

install_packages() {
  local tables=$required wishes=$optional missing wanted=() package
  if $with_tests; then tables+=$required_for_tests wishes+=$optional_for_tests; fi
  mapfile -t missing < <(missing_of "$tables")
  mapfile -t wanted < <(missing_of "$wishes")
  if ((${#missing[@]} + ${#wanted[@]} == 0)); then
    say "system packages: all there"
    return
  fi
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    apt update || say "apt-get update failed; trying with the package lists at hand"
    local extra=()
    for package in "${wanted[@]}"; do  # nice to have: only where the distribution carries them
      [[ -n $(apt-cache madison "$package" 2>/dev/null) ]] && extra+=("$package")
    done
    if ((${#missing[@]})); then
      say "installing ${missing[*]}"
      apt install -y --no-install-recommends "${missing[@]}" >/dev/null
    fi
    if ((${#extra[@]})); then
      say "installing ${extra[*]}"
      apt install -y --no-install-recommends "${extra[@]}" >/dev/null ||
        say "could not install ${extra[*]}: not needed, but the build is slower or a check is left out"
    fi
    mapfile -t missing < <(missing_of "$tables")
    ((${#missing[@]} == 0)) || fail "still missing after the installation: ${missing[*]}"
  elif ((${#missing[@]})); then
    fail "missing: ${missing[*]}
  with root:     apt-get install ${missing[*]}
  on a cluster:  load the modules that hold them, or put their prefixes into CMAKE_PREFIX_PATH, then run this again"
  else
    say "without ${wanted[*]} (not needed, but the build is slower or a check is left out)"
  fi
}

# --- LibTorch --------------------------------------------------------------------------------------------------------

has_torch() { [[ -e $1/torch/lib/libtorch_cpu.so ]] && grep -q "^__version__ = '${torch_version}[+']" "$1/torch/version.py"; }

# A copy is unpacked beside and renamed, so a folder under its final name is whole; the stamp says what it holds.
is_complete() {
  has_torch "$deps/site" || return 1
  if $with_cuda; then [[ -e $deps/site/.complete-cuda ]]; fi
}

download() {  # folder, pip options and requirements
  local folder=$1 machine platforms=() tag
  shift
  machine=$(uname -m)
  [[ $machine == x86_64 || $machine == aarch64 ]] || fail "no LibTorch wheel for $machine: build LibTorch $torch_version and set LIBTORCH to its folder"
  for tag in manylinux_2_{28..17} manylinux2014; do  # pip does not derive the older tags from the newest
    platforms+=(--platform "${tag}_$machine")
  done
  python3 -m pip --disable-pip-version-check download --quiet --only-binary=:all: --python-version 3.11 --implementation cp \
    "${platforms[@]}" --dest "$folder" "$@" ||
    fail "cannot download $*: look at the network and pip's settings, or set LIBTORCH to an unpacked LibTorch $torch_version"
}

unpack() {  # folder with wheels, folder to fill
  local wheel
  for wheel in "$1"/*.whl; do unzip -qo "$wheel" -d "$2"; done
}

# What the wheel itself asks for, as pip requirements without environment markers.
cuda_requirements() {
  sed -n 's/^Requires-Dist: \(\(cuda-toolkit\|nvidia-\)[^;]*[^; ]\) *\(;.*\)\?$/\1/p' "$deps"/site/torch-*.dist-info/METADATA
}

# Called in a subshell: the trap ends with it.
fetch_torch() {
  [[ ! -L $deps/site ]] || fail "$deps/site is a link, and not to LibTorch $torch_version: mend it, or set EXPUNGE_DEPS to a folder of your own"
  local work
  work=$(mktemp -d "$deps/unpacking.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  say "downloading LibTorch $torch_version (530 MB)"
  download "$work/wheels" --no-deps "${cpu_wheels[@]}"
  say "unpacking to $deps/site"
  mkdir "$work/site"
  unpack "$work/wheels" "$work/site"
  has_torch "$work/site" || fail "the wheel holds no torch/lib/libtorch_cpu.so of version $torch_version"
  touch "$work/site/.complete"
  rm -rf "$deps/site"
  mv -T "$work/site" "$deps/site"
}

fetch_cuda_libraries() {
  [[ ! -L $deps/site ]] || fail "$deps/site is a link to somebody else's copy: set EXPUNGE_DEPS to a folder of your own for --cuda"
  local work requirements
  work=$(mktemp -d "$deps/unpacking.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  mapfile -t requirements < <(cuda_requirements)
  ((${#requirements[@]})) || fail "$deps/site: the wheel's METADATA names no CUDA libraries"
  say "downloading ${requirements[*]} (2 to 3 GB)"
  download "$work/wheels" "${requirements[@]}"
  cp -al "$deps/site" "$work/site"
  unpack "$work/wheels" "$work/site"
  touch "$work/site/.complete-cuda"
  mv -T "$deps/site" "$work/old"
  mv -T "$work/site" "$deps/site"
}

find_torch() {
  local name folder
  for name in EXPUNGE_TORCH LIBTORCH Torch_DIR; do
    folder=${!name:-}
    [[ -n $folder ]] || continue
    [[ $name == Torch_DIR ]] && folder=$folder/../../..
    [[ -e $folder/lib/libtorch_cpu.so ]] || fail "$name is set, but $folder/lib/libtorch_cpu.so is not there"
    say "LibTorch: $folder (from $name)"
    return
  done
  mkdir -p "$deps" || fail "cannot write to $deps: set EXPUNGE_DEPS to another folder"
  (
    if command -v flock >/dev/null; then flock 9; fi
    has_torch "$deps/site" || (fetch_torch)
    is_complete || (fetch_cuda_libraries)
  ) 9>"$deps/lock"
  say "LibTorch: $deps/site/torch"
}

install_packages
if $with_torch; then find_torch; fi
say "done"
