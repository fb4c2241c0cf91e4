#!/usr/bin/env bash
# From a fresh machine to a leaderboard: installs what is missing, builds, fetches Fashion-MNIST, trains an original model on 2 MPI
# ranks, unlearns it with eight methods, and renders the results.
#
#   launch/quickstart.sh [JOB.toml]        default: jobs/quickstart.toml
#
# Finished cells are skipped when it is run again. OUT names another output folder than results/, RANKS another number of ranks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
job=${1:-jobs/quickstart.toml}
out=${OUT:-results}
ranks=${RANKS:-2}
[[ -f $job ]] || { echo "quickstart: $job is not there" >&2; exit 66; }

launch/setup.sh
launch/build.sh release -DEXPUNGE_WITH_TESTS=OFF
expunge=build/bin/expunge
"$expunge" data fetch fashion_mnist
"$expunge" plan "$job" --out "$out"

# Open MPI refuses root and more ranks than cores unless told otherwise, and would pin several jobs to the same cores.
options=()
if mpirun --version | grep -q "Open MPI"; then
  options=(--bind-to none)
  (($(nproc) >= ranks)) || options+=(--oversubscribe)
  if [[ $(id -u) == 0 ]]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
fi
mpirun "${options[@]}" -n "$ranks" "$expunge" run "$job" --out "$out"

sweep=$out/$(sed -n '/^\[sweep\]/,/^\[[a-z]/s/^name *= *"\([^"]*\)".*/\1/p' "$job")
"$expunge" reduce "$sweep"
"$expunge" board "$sweep/board.h5"
"$expunge" board "$sweep/board.h5" --html "$sweep/leaderboard.html"

cat <<END

quickstart: done
  leaderboard   $sweep/leaderboard.html
  board         $sweep/board.h5        (expunge board, expunge show)
  one cell      $sweep/cells/*/*.h5    (expunge show FILE, expunge verify FILE)
  originals     $sweep/originals/*/    (Hugging Face layout)
END
