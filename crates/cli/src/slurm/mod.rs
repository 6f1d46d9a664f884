//! Slurm-named commands: thin edges around the pure dialect in `muster-slurm`.

mod allocate;
mod ask;
mod end;
mod expectation;
pub(crate) mod sacct;
pub(crate) mod sacctmgr;
pub(crate) mod salloc;
pub(crate) mod sattach;
pub(crate) mod sbatch;
pub(crate) mod sbcast;
pub(crate) mod scancel;
pub(crate) mod scontrol;
pub(crate) mod scrontab;
pub(crate) mod sdiag;
pub(crate) mod sinfo;
pub(crate) mod sprio;
pub(crate) mod squeue;
pub(crate) mod srun;
pub(crate) mod sshare;
pub(crate) mod sstat;
mod streams;
mod surroundings;
mod waiting;

pub(crate) use streams::Streams;

/// The address at which nodes reach this command.
pub(crate) fn client_host() -> String {
    surroundings::Gathered::new("muster", Vec::new()).client_host()
}
