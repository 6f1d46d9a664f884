//! What the command below `salloc` sees.

use muster_model::resources::{GresScope, Megabytes, MemoryRequest};

use super::fixture::{CLIENT, USER, allocate, change, gpus, job, nodes};
use super::section;
use crate::environment::{allocation_environment, combine};

#[test]
fn the_command_of_salloc() {
    let check = |title: &str, job: &muster_model::job::Job| {
        let winners = allocation_environment(job, &nodes(job), "peer", &CLIENT);
        assert_eq!(combine(&USER, &[], &Vec::new(), &winners), section(include_str!("salloc.txt"), title), "{title}");
    };
    let mut plain = job(127);
    change(&mut plain, |spec| spec.name = "interactive".into());
    check("salloc", &plain);

    let mut all = job(128);
    allocate(&mut all, &[(0, 6, 3, 1), (1, 2, 1, 1)]);
    change(&mut all, |spec| {
        spec.name = "aname".into();
        let request = &mut spec.request;
        (request.tasks, request.tasks_given) = (4, true);
        (request.cpus_per_task, request.cpus_per_task_given) = (2, true);
        request.memory = Some(MemoryRequest::PerNode(Megabytes(1024)));
        request.gres = vec![gpus(GresScope::Node, 1)];
    });
    check("salloc -N2 -n4 -c2 --mem=1G --gres=gpu:1 -J aname", &all);

    let mut whole = job(130);
    allocate(&mut whole, &[(0, 16, 16, 2), (1, 16, 16, 2)]);
    change(&mut whole, |spec| spec.name = "interactive".into());
    check("salloc --exclusive -N2", &whole);
}
