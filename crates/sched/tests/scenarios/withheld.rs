//! Nodes that cannot be had whatever ends there: out of service, or waited for by jobs of other partitions.

use crate::common::check;

/// As real Slurm 22.05 tells it, job by job: too few nodes of the partition are left, which keeps the others of the partition
/// waiting; enough are left but do not hold the job, which does not; nodes that are named.
#[test]
fn what_is_told_of_nodes_that_cannot_be_had() {
    let drained = "nodes n[1-2] cpus=16
         nodes n[3-4] cpus=16 state=drain
         run 9 on=n[1-2]:0-15 t=30";
    check(
        &format!(
            "{drained}
         job 1 n=33 t=60
         job 2 n=33 t=60
         job 3 N=3 t=60
         job 4 n=33 t=60"
        ),
        "1 waits ReqNodeNotAvail, UnavailableNodes:n[3-4]
         2 waits ReqNodeNotAvail, UnavailableNodes:n[3-4]
         3 waits Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions
         4 waits Priority",
    );
    let kept = "config backfill=off
         nodes n[1-4] cpus=16
         partition main nodes=n[1-4]
         partition high nodes=n[3-4]
         run 9 on=n3:0-3 t=30
         job 1 part=high N=2 exclusive t=60";
    check(
        &format!(
            "{kept}
         job 2 n=1 w=n3 t=60
         job 3 n=20 N=2-2 w=n2 x=n1 t=60
         job 4 n=17 N=2-2 x=n1 t=60
         job 5 n=40 t=60
         job 6 N=3 t=60
         job 7 n=1 t=60"
        ),
        "1 waits Resources
         2 waits ReqNodeNotAvail, UnavailableNodes:n3
         3 waits ReqNodeNotAvail, May be reserved for other job
         4 waits ReqNodeNotAvail, UnavailableNodes:n[3-4]
         5 waits ReqNodeNotAvail, UnavailableNodes:n[3-4]
         6 waits Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions
         7 waits Priority",
    );
}

/// As real Slurm 22.05 tells it of jobs that reservations keep back: first of what they could not have without those either, whether or
/// not they want it; of reservations where that is nothing, or nothing that they name.
#[test]
fn what_is_told_of_nodes_beside_reservations() {
    let reserved = "nodes n[1-2] cpus=16
         nodes n3 cpus=16 state=drain
         nodes n4 cpus=16
         partition main nodes=n[1-4]
         partition cd nodes=n[3-4]
         reservation later nodes=n[1-2] from=40 until=100
         reservation now nodes=n4 from=0 until=200";
    check(
        &format!(
            "{reserved}
         job 1 n=16 t=60
         job 2 N=2 t=60 x=n3
         job 3 N=4 t=60
         job 4 w=n4 t=60
         job 5 part=cd N=2 t=60
         job 6 part=cd n=1 t=60"
        ),
        "1 waits ReqNodeNotAvail, UnavailableNodes:n3, +100m on n1
         2 waits ReqNodeNotAvail, UnavailableNodes:n3, +160m on n[1-2]
         3 waits Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions
         4 waits ReqNodeNotAvail, May be reserved for other job, +200m on n4
         5 waits Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions
         6 waits ReqNodeNotAvail, UnavailableNodes:n3, +200m on n4",
    );
}
