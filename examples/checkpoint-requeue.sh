#!/bin/bash
# A job longer than its time limit: warned before the limit it saves its progress
# and goes back to the queue under the same id; the next start continues.
#
#   sbatch checkpoint-requeue.sh
#
# With a limit of one minute and a warning 55 seconds before it, a start works for
# about five seconds. Twelve units of one second therefore take three starts. Where
# limits are looked at only every half minute, try `UNITS=60 sbatch ...`.
#
#SBATCH --job-name=checkpoint
#SBATCH --ntasks=1
#SBATCH --mem=100M
#SBATCH --time=1
#SBATCH --signal=B:USR1@55
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out

units=${UNITS:-12}
# A warning can come too early to get anything done; that must not go on for ever.
starts_max=10

checkpoint=$SLURM_SUBMIT_DIR/checkpoint-$SLURM_JOB_ID.state
start=$((${SLURM_RESTART_COUNT:-0} + 1))
finished=0
[[ -s $checkpoint ]] && finished=$(<"$checkpoint")
echo "start $start: $finished of $units units are done"

save() {
    # Written aside and renamed, so that a kill in between leaves the old one whole.
    echo "$finished" >"$checkpoint.new" && mv "$checkpoint.new" "$checkpoint"
}

on_warning() {
    save
    if ((start >= starts_max)); then
        echo "start $start: warned, but this was the last start allowed"
        exit 1
    fi
    echo "start $start: warned with $finished units done; back to the queue"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap on_warning USR1

while ((finished < units)); do
    # bash runs a trap only between commands or in `wait`, never during a `sleep`.
    sleep 1 &
    wait $!
    finished=$((finished + 1))
done

echo "start $start: all $units units are done"
rm -f "$checkpoint"
