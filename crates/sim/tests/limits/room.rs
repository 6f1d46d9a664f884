//! Running jobs that make room by QOS: no more of them than needed.

use muster_model::preemption::{PreemptMode, PreemptType, PreemptionConfig};

use super::*;

/// Whoever is being cleaned up will give back what he holds, also where he goes back to the queue and has no end any more.
#[test]
fn no_second_job_makes_room_while_the_first_is_cleaned_up() {
    for mode in [PreemptMode::Cancel, PreemptMode::Requeue] {
        let mut config = config(builders::partition("main", 0..4));
        config.preemption = PreemptionConfig { kind: PreemptType::Qos, mode, ..PreemptionConfig::default() };
        config.requeue_default = true;
        let mut stage = Stage::new(config);
        let preempts = Some(ListChange::Set(vec!["normal".into()]));
        let changes = Box::new(QosChanges { preempts, ..QosChanges::default() });
        stage.change(AccountingChange::ModifyQos { names: vec!["high".into()], changes });
        let full = Submit { cpus: 8, ..ONE };
        for _ in 0..4 {
            stage.submit("alice", full).expect("accepted");
        }
        stage.plan();
        assert_eq!(stage.running().len(), 4);
        let by = stage.submit("carol", Submit { qos: Some("high"), ..full }).expect("accepted");
        for _ in 0..3 {
            stage.plan_with_evictions();
        }
        let untouched = stage.running().iter().filter(|job| job.eviction.is_none()).count();
        assert_eq!(untouched, 3, "{mode:?}: {}", stage.shown());
        let first = stage.cluster.read_view().jobs.values().find(|job| job.completing).cloned().expect("one goes");
        for share in &first.allocation.as_ref().expect("it holds a node").shares {
            let restart = first.cleaning.as_ref().expect("it is cleaned up").restart;
            let cleaned = AgentReport::JobCleaned { job_id: first.id, restart, epilog: None };
            stage.step(Event::Agent(share.node, cleaned));
        }
        stage.plan();
        assert!(stage.running().iter().any(|job| job.id == by), "{mode:?}: {}", stage.shown());
    }
}
