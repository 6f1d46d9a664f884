#!/bin/bash
#SBATCH --job-name=sweep --array=0-15%6
#SBATCH --mem=100M --time=2
#SBATCH --output=sweep-%a.out

# Each task tries one learning rate.
sleep 0.5
awk -v task="$SLURM_ARRAY_TASK_ID" 'BEGIN {
    rate = 0.05 * (task + 1); x = 10
    for (step = 0; step < 40; step++) x -= rate * 2 * x
    printf "%.2f %.2e\n", rate, x * x
}'
