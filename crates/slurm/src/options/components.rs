//! From one component of a heterogeneous job to the next: which options carry on.
//!
//! What is about the job as a whole (name, times, files, account) holds for the components behind until one of them says
//! otherwise; what is about resources each component says for itself. Which is which was seen with `sbatch -v` of real
//! Slurm 22.05, component by component.

use super::values::{Placement, Resources, SubmitOptions};

/// Options that hold for one component only.
const OWN: &[&str] = &[
    "array",
    "bb",
    "bbf",
    "constraint",
    "contiguous",
    "core-spec",
    "cores-per-socket",
    "cpu-bind",
    "cpu-freq",
    "cpus-per-gpu",
    "cpus-per-task",
    "distribution",
    "exact",
    "exclusive",
    "extra-node-info",
    "gpu-bind",
    "gpu-freq",
    "gpus",
    "gpus-per-node",
    "gpus-per-socket",
    "gpus-per-task",
    "gres",
    "gres-flags",
    "het-group",
    "hint",
    "licenses",
    "mail-type",
    "mail-user",
    "mem-bind",
    "mem-per-cpu",
    "mem-per-gpu",
    "mincpus",
    "multi-prog",
    "network",
    "nodefile",
    "nodelist",
    "nodes",
    "ntasks",
    "ntasks-per-core",
    "ntasks-per-gpu",
    "ntasks-per-node",
    "ntasks-per-socket",
    "ntasks-per-tres",
    "overcommit",
    "overlap",
    "oversubscribe",
    "partition",
    "relative",
    "sockets-per-node",
    "spread-job",
    "switches",
    "thread-spec",
    "threads-per-core",
    "tmp",
    "tres-bind",
    "tres-per-task",
    "use-min-nodes",
    "whole",
];

impl SubmitOptions {
    /// Makes ready for the next component, which gives the options in `next`: what holds for one component only is
    /// forgotten, and what has been said to the user.
    pub fn next_component<'a>(&mut self, mut next: impl Iterator<Item = &'a str>) {
        for name in OWN {
            self.given.remove(name);
            self.others.remove(name);
        }
        self.not_yet.retain(|name| !OWN.contains(name));
        self.notices.clear();
        // Memory is asked for in one way: that of this component.
        let is_other_memory = next.any(|name| matches!(name, "mem-per-cpu" | "mem-per-gpu"));
        let mem = self.resources.mem.take().filter(|_| !is_other_memory);
        if mem.is_none() {
            self.given.remove("mem");
        }
        self.resources = Resources { mem, ..Resources::default() };
        self.placement = Placement { exclude: self.placement.exclude.take(), ..Placement::default() };
        (self.names.partition, self.names.mail_type, self.names.mail_user) = (None, None, None);
        self.queue.array = None;
        let step = &mut self.step;
        (step.exact, step.overlap, step.whole, step.multi_prog) = (false, false, false, false);
        step.het_groups = None;
    }
}
