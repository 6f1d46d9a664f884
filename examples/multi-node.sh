#!/bin/bash
# Two nodes, two tasks on each, and the variables that distributed training
# frameworks want: the address of the first node, the world size, each task's rank.
#
#   sbatch multi-node.sh
#
#SBATCH --job-name=multi-node
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=2
#SBATCH --mem=200M
#SBATCH --time=1
#SBATCH --output=%x-%j.out

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# Two jobs on one node must not meet on one port.
MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))
WORLD_SIZE=$SLURM_NTASKS
export MASTER_ADDR MASTER_PORT WORLD_SIZE

echo "nodes: $(scontrol show hostnames "$SLURM_JOB_NODELIST" | paste -sd ' ')"

# The first step runs once per node, the second once per task. The single quotes
# leave the variables to the task's shell: ranks differ from task to task.
srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 bash -c \
    'echo "node $SLURM_NODEID is $SLURMD_NODENAME"'
srun --label bash -c \
    'echo "rank $SLURM_PROCID of $WORLD_SIZE, local rank $SLURM_LOCALID on $SLURMD_NODENAME, master $MASTER_ADDR:$MASTER_PORT"'
