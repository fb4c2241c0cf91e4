#!/usr/bin/env bash
# A real Slurm cluster of several nodes on this machine, for tests: own munged, slurmctld and slurmd, no systemd, no cgroups. All of
# its state is in one folder, and only processes that it started are ever stopped.
#
#   tests/cluster/cluster.sh check             says in one line what is missing; exit 1 when a cluster cannot run here
#   tests/cluster/cluster.sh up LAB [NODES [CPUS]]      4 nodes of 2 CPUs; then: export SLURM_CONF=LAB/slurm.conf
#   tests/cluster/cluster.sh restart LAB       kills slurmctld and starts it again
#   tests/cluster/cluster.sh down LAB          stops everything; LAB stays
#
# Each slurmd has a host name of its own (unshare --uts): Open MPI names its shared memory by it. Each has a TmpFS of its own: the
# PMIx plugin puts a folder there that would collide.
set -euo pipefail

fail() { echo "cluster: $*" >&2; exit 1; }

check() {
  local program
  [[ $(id -u) == 0 ]] || { echo "a test cluster needs root"; return 1; }
  for program in munged slurmctld slurmd sbatch srun squeue scontrol mpirun runuser unshare; do
    command -v "$program" >/dev/null || { echo "$program is not installed: launch/setup.sh --tests"; return 1; }
  done
  getent passwd munge >/dev/null || { echo "there is no user munge"; return 1; }
  getent hosts "$(hostname -s)" >/dev/null || { echo "the host name $(hostname -s) does not resolve: add it to /etc/hosts"; return 1; }
  unshare --uts true 2>/dev/null || { echo "unshare --uts is not permitted here (CAP_SYS_ADMIN)"; return 1; }
  compgen -G '/usr/lib/*/slurm*/mpi_pmix*.so' >/dev/null || { echo "Slurm's PMIx plugin is not installed"; return 1; }
}

# A run of free TCP ports.
free_ports() {  # how many
  local base port tries
  for ((tries = 0; tries < 50; ++tries)); do
    base=$((20000 + RANDOM % 20000))
    for ((port = base; port < base + $1; ++port)); do
      if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue 2; fi
    done
    echo "$base"
    return
  done
  fail "no free ports"
}

start_munge() {
  local folder=$lab/munge
  mkdir -p "$folder"
  head -c 1024 /dev/urandom >"$folder/key"
  chown -R munge:munge "$folder"
  chmod 0400 "$folder/key"
  runuser -u munge -- munged --socket="$folder/socket" --key-file="$folder/key" --pid-file="$folder/pid" --log-file="$folder/log" --seed-file="$folder/seed"
  for _ in {1..100}; do [[ -S $folder/socket && -s $folder/pid ]] && break; sleep 0.1; done
  cat "$folder/pid" >>"$lab/pids"
}

write_conf() {
  local ports=$1 i memory
  memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 / nodes - 256))
  {
    cat <<CONF
ClusterName=expunge
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$ports
AuthType=auth/munge
AuthInfo=socket=$lab/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$lab/state
SlurmdSpoolDir=$lab/spool.%n
SlurmctldPidFile=$lab/slurmctld.pid
SlurmdPidFile=$lab/slurmd.%n.pid
SlurmctldLogFile=$lab/slurmctld.log
SlurmdLogFile=$lab/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
CommunicationParameters=NoCtldInAddrAny
SwitchType=switch/none
MpiDefault=pmix
TmpFS=$lab/tmp.%n
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
SlurmdParameters=config_overrides
MaxArraySize=100001
MaxJobCount=110000
MinJobAge=600
KillWait=5
JobRequeue=1
RebootProgram=/bin/true
AccountingStorageType=accounting_storage/none
CONF
    for ((i = 0; i < nodes; ++i)); do
      echo "NodeName=n$i NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((ports + 1 + i)) CPUs=$cpus RealMemory=$memory State=UNKNOWN"
    done
    echo "PartitionName=main Nodes=n[0-$((nodes - 1))] Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO"
  } >"$lab/slurm.conf"
}

start_controller() {
  slurmctld -D >"$lab/slurmctld.out" 2>&1 </dev/null &
  echo $! >"$lab/controller"
  echo $! >>"$lab/pids"
  for _ in {1..150}; do scontrol ping 2>/dev/null | grep -q UP && return; sleep 0.1; done
  tail -n 5 "$lab/slurmctld.log" >&2
  fail "slurmctld does not answer"
}

up() {
  local i ready=0
  mkdir -p "$lab/state"
  chmod 0755 "$lab"
  [[ -e $lab/pids ]] && fail "$lab: a cluster is up already"
  : >"$lab/pids"
  start_munge
  write_conf "$(free_ports $((nodes + 1)))"
  start_controller
  for ((i = 0; i < nodes; ++i)); do
    mkdir -p "$lab/spool.n$i" "$lab/tmp.n$i"
    # shellcheck disable=SC2016
    unshare --uts -- sh -c 'hostname "$0"; exec "$@"' "n$i" slurmd -D -N "n$i" >"$lab/slurmd.n$i.out" 2>&1 </dev/null &
    echo $! >>"$lab/pids"
  done
  for _ in {1..150}; do
    ready=$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)
    ((ready == nodes)) && return
    sleep 0.2
  done
  fail "$ready of $nodes nodes came up: see $lab/*.log"
}

stop() {  # pid
  kill "$1" 2>/dev/null || return 0
  for _ in {1..100}; do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
  kill -9 "$1" 2>/dev/null || true
}

down() {
  local pid
  [[ -e $lab/pids ]] || return 0
  scancel --user="$(id -un)" 2>/dev/null || true
  for _ in {1..40}; do [[ -z $(squeue -h 2>/dev/null) ]] && break; sleep 0.25; done
  for pid in $(tac "$lab/pids"); do stop "$pid"; done
  rm -f "$lab/pids"
}

command=${1:-}
lab=${2:-}
nodes=${3:-4}
cpus=${4:-2}
[[ $command == check || -n $lab ]] || fail "usage: cluster.sh check | up LAB [NODES [CPUS]] | restart LAB | down LAB"
export SLURM_CONF=$lab/slurm.conf
case $command in
  check) check ;;
  up)
    check || exit 1
    up ;;
  restart)
    kill -9 "$(cat "$lab/controller")"
    sleep 1
    start_controller ;;
  down) down ;;
  *) fail "unknown command $command" ;;
esac
