//! Limits on billing, where partitions bill by weights.

use muster_model::priority::Weight;
use muster_model::request::BillingWeights;

use super::*;

/// As Slurm 22.05 shows with `TRESBillingWeights=CPU=2.0`; without weights the limits are on CPUs.
#[test]
fn limits_on_billing_are_on_what_the_partition_bills() {
    let mut weighted = config(builders::partition("main", 0..4));
    weighted.partitions.push(builders::partition("plain", 0..4));
    weighted.priority.billing.insert("main".into(), vec![("cpu".into(), Weight(2.0))]);
    let check = |limit: TresLimit, allowed: u64, submits: &[(u32, &str)], expected: &str| {
        let mut stage = Stage::new(weighted.clone());
        stage.limit_qos("high", tres(limit, "billing", Some(allowed)));
        for (cpus, partition) in submits {
            stage.submit_to("alice", Submit { cpus: *cpus, qos: Some("high"), ..ONE }, partition).expect("accepted");
        }
        stage.plan();
        assert_eq!(stage.shown(), expected);
    };
    check(
        TresLimit::MaxTresPerJob,
        10,
        &[(3, "main"), (6, "main"), (6, "plain")],
        "1 R None; 2 PD QOSMaxBillingPerJob; 3 R None",
    );
    check(TresLimit::GrpTres, 15, &[(4, "main"), (3, "main"), (4, "main")], "1 R None; 2 R None; 3 PD QOSGrpBilling");
    check(
        TresLimit::MaxTresPerUser,
        20,
        &[(6, "main"), (6, "main"), (6, "plain")],
        "1 R None; 2 PD QOSMaxBillingPerUser; 3 R None",
    );
    check(
        TresLimit::MinTresPerJob,
        6,
        &[(2, "main"), (3, "main"), (5, "plain")],
        "1 PD QOSMinBilling; 2 R None; 3 PD QOSMinBilling",
    );
    check(TresLimit::MaxTresMinsPerJob, 100, &[(6, "main"), (6, "plain")], "1 PD QOSMaxBillingMinutesPerJob; 2 R None");

    let mut stage = Stage::new(weighted.clone());
    stage.limit_qos("high", tres(TresLimit::MaxTresPerJob, "billing", Some(10)));
    let changes = QosChanges { flags: Some(ListChange::Set(vec![QosFlag::DenyOnLimit])), ..QosChanges::default() };
    stage.change(AccountingChange::ModifyQos { names: vec!["high".into()], changes: Box::new(changes) });
    let submit = |stage: &mut Stage, partition| {
        stage.submit_to("alice", Submit { cpus: 6, qos: Some("high"), ..ONE }, partition).map_err(drop)
    };
    assert_eq!(submit(&mut stage, "main"), Err(()));
    assert!(submit(&mut stage, "plain").is_ok());
}

/// As with Slurm 22.05, where an operator changes the weights of a partition that works.
#[test]
fn other_weights_hold_for_jobs_that_start_afterwards() {
    let mut stage = Stage::new(config(builders::partition("main", 0..4)));
    stage.limit_qos("high", tres(TresLimit::MaxTresPerJob, "billing", Some(10)));
    let weigh = |name: &str, weight: f64| {
        let billing =
            BillingWeights { text: format!("{name}={weight}").into(), weights: vec![(name.into(), Weight(weight))] };
        PartitionChanges { billing: Some(billing), ..PartitionChanges::default() }
    };
    let change = |changes| Command::ChangePartition { name: "main".into(), changes: Box::new(changes), create: false };
    let wanted = Submit { cpus: 6, qos: Some("high"), ..ONE };
    stage.ask("root", change(weigh("cpu", 2.0))).expect("an operator may");
    stage.submit("alice", wanted).expect("accepted");
    stage.plan();
    assert_eq!(stage.shown(), "1 PD QOSMaxBillingPerJob");
    let none = PartitionChanges { billing: Some(BillingWeights::default()), ..PartitionChanges::default() };
    stage.ask("root", change(none)).expect("an operator may");
    stage.plan();
    assert_eq!(stage.shown(), "1 R None");
    let refused = stage.ask("root", change(weigh("gres/gpu", 2.0)));
    assert!(refused.is_err_and(|text| text.starts_with("Invalid TRESBillingWeights specification")));
}
