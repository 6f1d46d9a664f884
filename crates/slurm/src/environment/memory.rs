//! Memory asked for. What a partition gives to jobs that ask for none is not told.

use muster_model::job::Job;
use muster_model::resources::{Megabytes, MemoryRequest};

use super::facts::Builder;

/// `SLURM_MEM_PER_NODE`, `_CPU` or `_GPU` in mebibytes; `--mem=0`, all of a node, is not told.
pub(super) fn requested(list: &mut Builder, job: &Job) {
    let (name, Megabytes(amount)) = match job.spec.request.memory {
        Some(MemoryRequest::PerNode(amount)) => ("SLURM_MEM_PER_NODE", amount),
        Some(MemoryRequest::PerCpu(amount)) => ("SLURM_MEM_PER_CPU", amount),
        Some(MemoryRequest::PerGpu(amount)) => ("SLURM_MEM_PER_GPU", amount),
        None => return,
    };
    if amount > 0 {
        list.set(name, amount);
    }
}
