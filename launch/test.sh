#!/usr/bin/env bash
# Builds everything and runs all tests and checks. The last line is `N passed, N failed, N skipped`; skipped and failed tests are
# named above it. Exit status 1 when anything failed.
#
#   launch/test.sh [--full]
#
#   --full   also a Slurm cluster on this machine, and the torch-free layers under sanitizers
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
full=false
for argument in "$@"; do
  case $argument in
    --full) full=true ;;
    *) echo "test: unknown option $argument (have: --full)" >&2; exit 2 ;;
  esac
done

passed=0
failed=()
skipped=()
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

finish() {
  local line
  echo
  for line in "${skipped[@]+"${skipped[@]}"}"; do echo "skipped: $line"; done
  for line in "${failed[@]+"${failed[@]}"}"; do echo "failed: $line"; done
  echo "$passed passed, ${#failed[@]} failed, ${#skipped[@]} skipped"
  ((${#failed[@]} == 0))
  exit
}

# A check is one test: a name and a command; its output is shown when it fails.
check() {
  local name=$1
  shift
  if "$@" >"$logs/check" 2>&1; then
    passed=$((passed + 1))
    echo "ok: $name"
  else
    failed+=("$name")
    echo "FAILED: $name"
    tail -n 60 "$logs/check"
    return 1
  fi
}

# Test cases of one gtest XML file, a line each: "passed", "failed NAME" or "skipped NAME: REASON".
cases_of() {
  awk '
    function attribute(name, text) { return match(text, " " name "=\"[^\"]*\"") ? substr(text, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : "" }
    function plain(text) {
      gsub(/&#x0?[AaDd];/, " ", text); gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text); gsub(/&apos;/, "\047", text); gsub(/&amp;/, "\\&", text)
      return text
    }
    function close_case() {
      if (!open) return
      if (state == "skipped") print "skipped " name ": " reason; else if (state == "failed") print "failed " name; else print "passed"
      open = 0
    }
    /<testcase / {
      close_case()
      open = 1; name = attribute("classname", $0) "." attribute("name", $0); reason = "no reason given"
      state = attribute("status", $0) == "notrun" ? "skipped" : "passed"
      if (state == "skipped") reason = "disabled"
    }
    open && /<skipped/ && state != "failed" {
      state = "skipped"; reason = plain(attribute("message", $0)); sub(/^[^ ]*:[0-9]+ +/, "", reason); sub(/ +$/, "", reason)
    }
    open && /<failure/ { state = "failed" }
    /<\/testsuite>/ { close_case() }
    END { close_case() }
  ' "$1"
}

# Runs the ctest entries of a build folder and adds up their XML files. A binary that crashes, or fails outside its test cases, or
# leaves no XML is a failure of its own.
run_tests() {  # build folder, label for the names, ctest options
  local build=$1 label=$2 name line bad entries
  shift 2
  rm -rf "$build/test-results" "$build/Testing/Temporary/LastTestsFailed.log"
  mapfile -t entries < <(ctest --test-dir "$build" -N "$@" | sed -n 's/^ *Test *#[0-9]*: //p')
  if ((${#entries[@]} == 0)); then
    failed+=("$label: no tests were built")
    return
  fi
  ctest --test-dir "$build" --output-on-failure -j "$(nproc)" "$@"
  for name in "${entries[@]}"; do
    local xml=$build/test-results/$name.xml
    if [[ ! -s $xml ]] || ! grep -q '</testsuites>' "$xml"; then
      failed+=("$label $name: crashed, or wrote no results")
      continue
    fi
    bad=0
    while read -r line; do
      case $line in
        passed) passed=$((passed + 1)) ;;
        failed\ *) failed+=("$label $name ${line#failed }"); bad=1 ;;
        skipped\ *) skipped+=("$label $name ${line#skipped }") ;;
      esac
    done < <(cases_of "$xml")
    if ((bad == 0)) && grep -q ":$name\$" "$build/Testing/Temporary/LastTestsFailed.log" 2>/dev/null; then
      failed+=("$label $name: exited with an error although its test cases passed")
    fi
  done
}

# shellcheck disable=SC2317
check_format() { git ls-files -z -- 'src/*.cpp' 'src/*.hpp' 'src/*.cu' 'tests/*.cpp' 'tests/*.hpp' | xargs -0 clang-format-14 --dry-run --Werror; }

launch/setup.sh --tests || { failed+=("launch/setup.sh"); finish; }
if ! launch/build.sh release -DEXPUNGE_WITH_TESTS=ON; then
  failed+=("build")
  finish
fi
run_tests build release -LE cluster

if $full; then
  run_tests build cluster -L cluster
  if launch/build.sh asan -DEXPUNGE_WITH_TESTS=ON; then
    # Open MPI keeps memory to the end of the process; the leak check is for our own suites.
    UBSAN_OPTIONS=print_stacktrace=1 run_tests build-asan asan -L unit
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 run_tests build-asan asan -L mpi
  else
    failed+=("build with sanitizers")
  fi
else
  skipped+=("slurm_tests: a Slurm cluster on this machine (launch/test.sh --full)"
            "asan: suites of the torch-free layers under sanitizers (launch/test.sh --full)")
fi

check "layers: includes and libraries" tests/check_layers.sh build
check "headers compile alone" tests/check_headers.sh build
if ! command -v clang-format-14 >/dev/null; then
  skipped+=("format: clang-format-14 is not installed")
elif ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  skipped+=("format: not a git checkout")
else
  check "format: clang-format-14" check_format
fi
finish
