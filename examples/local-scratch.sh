#!/bin/bash
# Works on the node's own disk: stage in, compute, stage out. What is left on the
# node is removed however the job ends. Where nodes declare their disk (TmpDisk),
# `sbatch --tmp=100M` asks for one with room.
#
#   sbatch local-scratch.sh
#
#SBATCH --job-name=scratch
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=200M
#SBATCH --time=1
#SBATCH --output=%x-%j.out
set -euo pipefail

if [[ -n ${SLURM_TMPDIR:-} ]]; then
    # Made for this job, and removed after it by the node.
    scratch=$SLURM_TMPDIR
else
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    # Without this a cancelled job would end without its EXIT trap.
    trap 'exit 143' TERM
fi
echo "scratch on $SLURMD_NODENAME: $scratch"

python3 -c 'print(*range(200_000), sep="\n")' >"$scratch/data"
sort --numeric-sort --reverse --parallel="$SLURM_CPUS_PER_TASK" --temporary-directory="$scratch" \
    "$scratch/data" >"$scratch/sorted"

result=$SLURM_SUBMIT_DIR/scratch-$SLURM_JOB_ID.result
head -n 3 "$scratch/sorted" >"$result"
echo "result in $result: $(paste -sd ' ' "$result")"
