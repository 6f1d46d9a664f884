#!/bin/bash
#SBATCH --job-name=ranks --nodes=2 --ntasks=4 --time=1 --output=ranks.out

echo "nodes: $(scontrol show hostnames "$SLURM_JOB_NODELIST" | xargs)"
srun --label bash -c 'echo "rank $SLURM_PROCID of $SLURM_NTASKS on $SLURMD_NODENAME"' | sort -n
