#!/bin/bash
# A sweep over a learning rate: twelve tasks, four at a time, one output file each.
#
#   sbatch array-sweep.sh
#   squeue --array           # one line per task; the throttle shows as JobArrayTaskLimit
#
#SBATCH --job-name=sweep
#SBATCH --array=0-11%4
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=100M
#SBATCH --time=1
#SBATCH --output=%x-%A_%a.out

rates=(0.001 0.003 0.01 0.03)
seeds=(1 2 3)
# Two parameters from one index: the rate changes fastest.
rate=${rates[SLURM_ARRAY_TASK_ID % ${#rates[@]}]}
seed=${seeds[SLURM_ARRAY_TASK_ID / ${#rates[@]}]}

python3 - "$rate" "$seed" <<'PY'
import random
import sys
import time

rate, seed = float(sys.argv[1]), int(sys.argv[2])
noise = random.Random(seed)
# Gradient descent on x², with a gradient that is not quite right.
x = 10.0
for _ in range(200):
    x -= rate * (2 * x + noise.gauss(0, 0.1))
time.sleep(1)
print(f"rate={rate} seed={seed} loss={x * x:.6f}")
PY
