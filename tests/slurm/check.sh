#!/bin/bash
# Runs examples/slurm on a real Slurm of one node: an array of four tasks, one of which is killed in the middle and requeued, and the merge
# that waits for them. The result must be that of an undivided scan, to the byte.
#
# Needs root, and Debian's slurmctld, slurmd, slurm-client and munge. Everything lies in a temporary folder and ends with the script.
#
#   tests/slurm/check.sh target/debug/laser-scan
set -euo pipefail

program=$(realpath "${1:?give the program}")
examples=$(realpath "$(dirname "$0")/../../examples/slurm")
work=$(mktemp -d)
pids=()
end() {
    status=$?
    [[ $status == 0 ]] || tail -n 40 "$work"/*.log "$work"/run/*.log 2>/dev/null || true
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
    exit "$status"
}
trap end EXIT

mkdir -p "$work/bin" "$work/run" "$work/state" "$work/spool" "$work/scan"
ln -s "$program" "$work/bin/laser-scan"
export PATH="$work/bin:$PATH" SLURM_CONF="$work/slurm.conf"
unset "${!SLURM_JOB@}" 2>/dev/null || true

# munge insists on folders that only its user may write.
chmod 755 "$work" "$work/run"
dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 status=none
chmod 400 "$work/munge.key"
munged --foreground --force --key-file "$work/munge.key" --socket "$work/munge.socket" --pid-file "$work/munged.pid" \
    --log-file "$work/munged.log" --seed-file "$work/munge.seed" 2> "$work/munged.err.log" &
pids+=($!)

# Two free ports on the loopback address.
ports=($(python3 - <<'PY'
import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PY
))
host=$(hostname -s)
cat > "$SLURM_CONF" <<CONF
ClusterName=laser
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
# A requeued job may begin once its old credential has expired.
AuthInfo=socket=$work/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=2,sched_interval=2
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
until [[ -S $work/munge.socket ]]; do sleep 0.1; done
slurmctld -D -i -f "$SLURM_CONF" 2> "$work/slurmctld.err.log" &
pids+=($!)
slurmd -D -f "$SLURM_CONF" -N "$host" 2> "$work/slurmd.err.log" &
pids+=($!)
await() { # WHAT SECONDS COMMAND…
    local what=$1 until=$((SECONDS + $2))
    shift 2
    until "$@"; do
        ((SECONDS < until)) || { echo "gave up waiting for $what" >&2; return 1; }
        sleep 0.2
    done
}
is_idle() { [[ $(sinfo -h -o %T 2>/dev/null) == idle* ]]; }
await "Slurm" 60 is_idle

# A model that takes a few seconds on one thread.
python3 - "$work/sparrow" <<'PY'
import array, json, os, random, struct, sys
folder, side, layers = sys.argv[1], 384, 24
os.makedirs(folder)
random.seed(17)
names = [f"model.layers.{layer}.mlp.{leaf}_proj.weight" for layer in range(layers) for leaf in ("up", "down")]
size = 4 * side * side
header = {name: {"dtype": "F32", "shape": [side, side], "data_offsets": [at * size, (at + 1) * size]} for at, name in enumerate(names)}
header = json.dumps(header).encode()
with open(f"{folder}/model.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header)
    for _ in names:
        file.write(array.array("f", (random.random() - 0.5 for _ in range(side * side))).tobytes())
PY

cd "$work/run"
one="--cpus-per-task=1 --mem=0"
job=$(sbatch --parsable $one --array=1-4 "$examples/scan.sbatch" "$work/sparrow" "$work/scan" --device cpu)
merge=$(sbatch --parsable $one --dependency="afterok:$job" "$examples/merge.sbatch" "$work/scan" --top-n 5)

journal=$work/scan/laser_scan_sparrow_part-2-of-4.json.journal
is_midway() { [[ -e $journal && $(wc -l < "$journal") -ge 3 ]]; }
await "the second task" 120 is_midway
scontrol requeue "${job}_2"
echo "the second task was killed with $(wc -l < "$journal") modules in its journal, and requeued"

is_done() { [[ -z $(squeue -h -j "$job,$merge" 2>/dev/null) ]]; }
await "all jobs" 300 is_done
grep -h "from an interrupted scan" "$work"/run/laser-scan-*_2.log
ls "$work/scan"

laser-scan --model "$work/sparrow" --device cpu --top-n 5 --output-dir "$work/whole" -q
for file in laser_scan_sparrow.json laser_scan_sparrow_top_snr.json laser_scan_sparrow_spectra.safetensors; do
    cmp "$work/scan/$file" "$work/whole/$file"
    echo "$file is that of an undivided scan"
done
