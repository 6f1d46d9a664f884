#!/bin/bash
# Submits a small pipeline and waits for it: prepare, then three workers side by
# side, then a report; and a job that would clean up had anything failed.
#
#   ./dependency-chain.sh
#
# This script is not a batch job itself: it runs where you call it.
set -euo pipefail

work=$(mktemp -d "$PWD/chain.XXXXXX")
common=(--parsable --ntasks=1 --mem=100M --time=1 --output="$work/%x-%j.out")

# --parsable prints the job id alone, or `id;cluster`.
submit() {
    local id
    id=$(sbatch "${common[@]}" "$@")
    echo "${id%%;*}"
}

prepare=$(submit --job-name=prepare --wrap "seq 1 300 > '$work/numbers'")
workers=$(submit --job-name=worker --array=0-2 --dependency="afterok:$prepare" --wrap \
    "awk -v task=\$SLURM_ARRAY_TASK_ID 'NR % 3 == task { sum += \$1 } END { print sum }' '$work/numbers' > '$work/part.'\$SLURM_ARRAY_TASK_ID")
# afternotok never becomes true here, so the job is cancelled and does not wait for ever.
cleanup=$(submit --job-name=cleanup --dependency="afternotok:$workers" --kill-on-invalid-dep=yes \
    --wrap "rm -rf '$work'")
echo "prepare $prepare, workers $workers, cleanup $cleanup (only if a worker fails)"

# --wait returns when the job ends, with its exit status.
sbatch "${common[@]}" --job-name=report --dependency="afterok:$workers" --wait \
    --wrap "cat '$work'/part.* | awk '{ sum += \$1 } END { print sum }' > '$work/total'" >/dev/null

echo "total $(cat "$work/total"), expected $((300 * 301 / 2))"
rm -r "$work"
