# Shared by the stub scheduler's commands. $STUB holds its state: one file a job, JOB = "ARRAY STATE REASON COMMENT", and
#   calls        every command line, in order
#   refuse       "N MESSAGE": sbatch refuses from its N-th call on (1-based)
#   lose         "N": sbatch queues its N-th job but dies before it answers
#   say_before   printed by sbatch before its answer, as sites' greetings are
#   config       what `scontrol show config` says
#   jobs_text    what `scontrol show job` says of jobs that are over
#   queue_text   what squeue says, instead of what is there
#   silent       squeue fails
#   probe, task, launch_error   see srun
: "${STUB:?}"
mkdir -p "$STUB/jobs"
printf '%s' "${0##*/}" >>"$STUB/calls"
printf ' %s' "$@" >>"$STUB/calls"
echo >>"$STUB/calls"
