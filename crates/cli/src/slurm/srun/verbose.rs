//! What `srun -v` tells on the way: what the job has, and where its tasks go. The words are those of Slurm 22.05, which tools read.

use std::collections::BTreeMap;

use muster_model::hostlist;
use muster_model::job::Job;
use muster_model::resources::IndexSet;
use muster_model::step::Step;
use muster_slurm::environment::cpus_per_node;

/// ``jobid 12: nodes(2):`n[1-2]', cpu counts: 2(x1),1(x1)``
pub(super) fn tell_allocation(job: &Job) {
    let count = job.allocation.as_ref().map_or(0, |allocation| allocation.shares.len());
    let list = job.node_list.as_deref().unwrap_or_default();
    eprintln!("srun: jobid {}: nodes({count}):`{list}', cpu counts: {}", job.id, repeated(&cpus_per_node(job)));
}

/// Here each count is told with how often it stands, also once.
fn repeated(counts: &str) -> String {
    let each = counts.split(',').filter(|count| !count.is_empty());
    each.map(|count| if count.contains('(') { count.to_owned() } else { format!("{count}(x1)") })
        .collect::<Vec<_>>()
        .join(",")
}

/// `launching StepId=12.0 on host n1, 2 tasks: [0-1]`
pub(super) fn tell_launch(steps: &[Step]) {
    for step in steps {
        for (host, here) in hosts(step).zip(&step.layout) {
            let (id, count) = (format!("{}.{}", step.job_id, step.step_id), here.ranks.len());
            eprintln!("srun: launching StepId={id} on host {host}, {count} tasks: {}", listed(&here.ranks));
        }
    }
}

/// `[0-1]`, `2`
fn listed(ranks: &[u32]) -> String {
    let set: IndexSet = ranks.iter().copied().collect();
    if ranks.len() == 1 { set.to_string() } else { format!("[{set}]") }
}

/// Which step each node belongs to: several only in a heterogeneous job.
pub(super) fn steps_of_nodes(steps: &[Step]) -> BTreeMap<String, String> {
    let of_step = |step: &Step| {
        let name = format!("{}.{}", step.job_id, step.step_id);
        hosts(step).map(|host| (host, name.clone())).collect::<Vec<_>>()
    };
    steps.iter().flat_map(of_step).collect()
}

fn hosts(step: &Step) -> impl Iterator<Item = String> {
    hostlist::expand(&step.node_list).unwrap_or_default().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_say_how_often_they_stand() {
        assert_eq!(repeated("2,1(x3),4"), "2(x1),1(x3),4(x1)");
        assert_eq!(repeated(""), "");
        assert_eq!((listed(&[0, 1, 3]), listed(&[2])), ("[0-1,3]".to_owned(), "2".to_owned()));
    }
}
