#!/bin/bash
# Eight tasks on two nodes that must all run at once: each talks to rank 0 and
# waits for its answer (allreduce.py). Submit it from this directory.
#
#   sbatch mpi-like.sh
#
#SBATCH --job-name=mpi-like
#SBATCH --nodes=2
#SBATCH --ntasks=8
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=1
#SBATCH --mem=400M
#SBATCH --time=1
#SBATCH --output=%x-%j.out

# A node's name need not be a name that the network knows; its address is.
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_ADDR=$(scontrol show node "$first" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')
MASTER_PORT=$((30000 + SLURM_JOB_ID % 10000))
WORLD_SIZE=$SLURM_NTASKS
export MASTER_ADDR MASTER_PORT WORLD_SIZE

# One failed rank would leave the others waiting: end the step with it.
srun --kill-on-bad-exit=1 bash -c 'RANK=$SLURM_PROCID exec python3 allreduce.py'
