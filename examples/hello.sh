#!/bin/bash
# The smallest batch job: one task that says where it runs.
#
#   sbatch hello.sh
#
#SBATCH --job-name=hello
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=100M
#SBATCH --time=1
#SBATCH --output=%x-%j.out

echo "job $SLURM_JOB_ID ($SLURM_JOB_NAME) on $SLURM_JOB_NODELIST with $SLURM_CPUS_PER_TASK CPUs"
echo "submitted from $SLURM_SUBMIT_DIR"
