//! Laws of priorities, and figures that Slurm 22.05 printed.

use std::sync::Arc;

use imbl::Vector;
use proptest::prelude::*;

use super::*;
use crate::accounting::{AccountingPolicy, Association, AssociationId, AssociationKey, Limits, Shares, TresAmounts};
use crate::ids::{Identity, JobId, SpecId};
use crate::job::{Job, JobKind, JobSpec};
use crate::partition::{MemoryDefault, Partition};
use crate::resources::{Gres, GresRequest, GresScope, Megabytes};
use crate::time::{Span, TimeLimit, Timestamp};

/// An association: number, that above it, name (`account` or `account.user`), shares.
fn association(id: u32, parent: u32, name: &str, shares: Option<u32>) -> Association {
    let (account, user) = name.split_once('.').unwrap_or((name, ""));
    Association {
        id: AssociationId(id),
        key: AssociationKey { account: account.into(), user: user.into(), partition: "".into() },
        parent: (parent > 0).then_some(AssociationId(parent)),
        shares: shares.map_or(Shares::Parent, Shares::Raw),
        priority: id,
        qos_allowed: None,
        qos_default: None,
        limits: Limits::default(),
    }
}

/// The tree that was set up in real Slurm, with the usage of each user.
fn tree(usage: &[(&str, f64)]) -> Vec<(Association, f64)> {
    let rows = [
        association(1, 0, "root", Some(1)),
        association(2, 1, "root.root", Some(1)),
        association(3, 1, "physics", Some(40)),
        association(4, 1, "bio", Some(20)),
        association(5, 1, "chem", Some(20)),
        association(6, 3, "astro", Some(10)),
        association(7, 6, "astro.games", Some(1)),
        association(8, 6, "astro.mail", Some(3)),
        association(9, 3, "physics.daemon", Some(2)),
        association(10, 4, "bio.lp", Some(0)),
        association(11, 4, "bio.news", Some(1)),
        association(12, 5, "chem.uucp", Some(0)),
        association(13, 5, "chem.proxy", Some(1)),
        association(14, 5, "chem.backup", None),
        association(15, 4, "bio.bin", Some(3)),
    ];
    let of = |row: &Association| {
        let below = |name: &str| {
            let account = name.split('.').next().unwrap_or_default();
            let accounts: &[&str] = match &*row.key.account {
                "root" => return true,
                "physics" => &["physics", "astro"],
                _ => &[&row.key.account],
            };
            accounts.contains(&account)
        };
        let own = |name: &str| *name == *format!("{}.{}", row.key.account, row.key.user);
        usage
            .iter()
            .filter(|(name, _)| if row.key.user.is_empty() { below(name) } else { own(name) })
            .map(|it| it.1)
            .sum()
    };
    rows.into_iter().map(|row| (row.clone(), of(&row))).collect()
}

fn shares(tree: &[(Association, f64)], flags: &[PriorityFlag]) -> Vec<(String, FairShare)> {
    let inputs: Vec<ShareInput<'_>> =
        tree.iter().map(|(association, usage_raw)| ShareInput { association, usage_raw: *usage_raw }).collect();
    let config = PriorityConfig { flags: flags.to_vec(), ..PriorityConfig::default() };
    let found = fair_shares(&inputs, &config);
    tree.iter().map(|(row, _)| (format!("{}.{}", row.key.account, row.key.user), found[&row.id])).collect()
}

fn check(found: &[(String, FairShare)], name: &str, figure: fn(&FairShare) -> Option<f64>, expected: Option<&str>) {
    let row = found.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(figure(&row.1).map(|figure| format!("{figure:.6}")).as_deref(), expected, "{name}");
}

/// Accounts that are served equally well are not merged: `lp` of `bio` comes before `proxy` of `chem`, and the first user
/// of an account shares the rank of the last one before it.
#[test]
fn tied_accounts_are_ranked_as_slurm_ranks_them() {
    let found = shares(&tree(&[]), &[]);
    let expected = [
        ("root.root", "1.000000"),
        ("bio.bin", "1.000000"),
        ("bio.news", "1.000000"),
        ("bio.lp", "0.700000"),
        ("chem.backup", "0.700000"),
        ("chem.proxy", "0.700000"),
        ("chem.uucp", "0.400000"),
        ("physics.daemon", "0.400000"),
        ("astro.games", "0.400000"),
        ("astro.mail", "0.400000"),
    ];
    for (name, factor) in expected {
        check(&found, name, |share| share.factor, Some(factor));
    }
    check(&found, "chem.", |share| share.factor, None);
}

const USED: &[(&str, f64)] = &[
    ("root.root", 20.99),
    ("bio.lp", 89.98),
    ("bio.news", 1439.5),
    ("chem.proxy", 12.6),
    ("chem.uucp", 179.96),
    ("physics.daemon", 1619.7),
    ("astro.games", 2178.2),
    ("astro.mail", 29.97),
];

#[test]
fn classic_shares_follow_their_formula() {
    let found = shares(&tree(USED), &[PriorityFlag::NoFairTree]);
    let get = |name: &str| found.iter().find(|(known, _)| known == name).map(|it| it.1).unwrap_or_default();
    let (physics, astro, games) = (get("physics."), get("astro."), get("astro.games"));
    assert_eq!(astro.usage_effective, astro.usage_norm + (physics.usage_effective - astro.usage_norm) * 10.0 / 12.0);
    assert_eq!(games.usage_effective, games.usage_norm + (astro.usage_effective - games.usage_norm) / 4.0);
    check(&found, "root.", |share| share.factor, Some("0.500000"));
    check(&found, "bio.bin", |share| Some(share.shares_norm), Some("0.185185"));
    check(&found, "chem.backup", |share| Some(share.shares_norm), Some("0.246914"));
    check(&found, "bio.lp", |share| share.factor, Some("0.000000"));
    assert_eq!(get("chem.backup").usage_effective, get("chem.").usage_effective);
}

/// Usage as it was when `sshare` was asked; what it printed.
#[test]
fn depth_oblivious_shares_are_those_of_slurm() {
    let all = 6332.9;
    let used = [
        ("root.root", 0.003_314),
        ("bio.lp", 0.014_203),
        ("bio.news", 0.227_222),
        ("chem.proxy", 0.001_989),
        ("chem.uucp", 0.028_407),
        ("physics.daemon", 0.255_671),
        ("astro.games", 0.459_249),
        ("astro.mail", 0.009_945),
    ]
    .map(|(name, part)| (name, part * all));
    let found = shares(&tree(&used), &[PriorityFlag::NoFairTree, PriorityFlag::DepthOblivious]);
    let near = |name: &str, expected: f64| {
        let found = found.iter().find(|(known, _)| known == name).and_then(|it| it.1.factor).unwrap_or_default();
        assert!((found - expected).abs() < 3e-5, "{name}: {found} is not {expected}");
    };
    for (name, factor) in [
        ("root.root", 0.830_208),
        ("bio.news", 0.081_300),
        ("bio.bin", 1.0),
        ("chem.proxy", 0.994_432),
        ("physics.daemon", 0.116_112),
        ("astro.", 0.381_366),
        ("astro.games", 0.022_954),
        ("astro.mail", 0.691_018),
    ] {
        near(name, factor);
    }
}

/// Fair Tree once more, by sorting all users by the way that leads to them: simple, slow, and written apart.
fn ranks_by_path(tree: &[(Association, f64)]) -> Vec<(String, f64)> {
    type Step = (f64, bool, String);
    let find = |id: AssociationId| tree.iter().find(|(row, _)| row.id == id);
    let level = |row: &Association, usage: f64| -> f64 {
        let Some((_, all)) = row.parent.and_then(find) else { return 0.0 };
        let siblings = tree.iter().filter(|(other, _)| other.parent == row.parent);
        let total: u32 =
            siblings.filter_map(|(row, _)| if let Shares::Raw(n) = row.shares { Some(n) } else { None }).sum();
        match row.shares {
            Shares::Parent => f64::INFINITY,
            Shares::Raw(0) => 0.0,
            Shares::Raw(_) if usage == 0.0 => f64::INFINITY,
            Shares::Raw(own) => f64::from(own) / f64::from(total) / (usage / all).min(1.0),
        }
    };
    let path = |row: &Association, usage: f64| -> Vec<Step> {
        let mut path =
            vec![(level(row, usage), row.key.user.is_empty(), format!("{}.{}", row.key.account, row.key.user))];
        let mut above = row.parent.and_then(find);
        while let Some((row, usage)) = above.filter(|(row, _)| row.parent.is_some()) {
            path.push((level(row, *usage), true, row.key.account.to_string()));
            above = row.parent.and_then(find);
        }
        path.reverse();
        path
    };
    let mut users: Vec<(Vec<Step>, String)> = tree
        .iter()
        .filter(|(row, _)| !row.key.user.is_empty())
        .map(|(row, usage)| (path(row, *usage), format!("{}.{}", row.key.account, row.key.user)))
        .collect();
    users.sort_by(|(a, _), (b, _)| {
        let steps = a.iter().zip(b).map(|(a, b)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        steps.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    let count = users.len();
    let mut ranks: Vec<(String, f64)> = Vec::new();
    let mut rank = count;
    for position in 0..count {
        let (path, name) = &users[position];
        let before = position.checked_sub(1).map(|before| &users[before].0);
        // Tied where both ways part on the same level, and whatever lies below is the first of its account.
        let tied = before.is_some_and(|before| {
            let parting = path.iter().zip(before).take_while(|(a, b)| a.2 == b.2).count();
            path.get(parting).zip(before.get(parting)).is_some_and(|(a, b)| a.0 == b.0)
        });
        if !tied {
            rank = count - position;
        }
        ranks.push((name.clone(), rank as f64 / count as f64));
    }
    ranks
}

fn multifactor() -> PriorityConfig {
    PriorityConfig {
        kind: PriorityType::Multifactor,
        weight_age: 977,
        weight_association: 13,
        weight_fair_share: 10_007,
        weight_job_size: 1009,
        weight_partition: 499,
        weight_qos: 83,
        weight_tres: vec![("cpu".into(), Weight(123.4)), ("mem".into(), Weight(0.77))],
        ..PriorityConfig::default()
    }
}

fn policy() -> AccountingPolicy {
    let mut policy = AccountingPolicy::default();
    for (row, _) in tree(&[]) {
        policy.association_index.insert(row.key.clone(), row.id);
        policy.associations.insert(row.id, Arc::new(row));
    }
    policy
}

fn job(cpus: u32, minutes: i64, nice: i32, site: i32, waited: i64) -> Job {
    let identity = Identity { uid: 5, gid: 5, user: "games".into(), group: "games".into() };
    let mut spec = JobSpec::new(identity, "x".into(), JobKind::Batch);
    spec.account = Some("astro".into());
    (spec.request.tasks, spec.nice, spec.site_factor) = (cpus, nice, site);
    let text = serde_json::json!({
        "id": JobId(7), "spec_id": SpecId(1), "spec": spec, "state": "pending", "reason": "none", "partition": "p",
        "priority": 1, "time_limit": TimeLimit::from_minutes(minutes), "submit_time": Timestamp(0),
        "eligible_time": Timestamp::from_seconds(1_000_000 - waited),
    });
    serde_json::from_value(text).unwrap_or_else(|error| panic!("{error}"))
}

fn partition() -> Partition {
    Partition { priority_job_factor: 3, ..Partition::new("p".into(), Vec::new()) }
}

#[test]
fn a_waiting_job_asks_for_the_memory_that_its_partition_gives() {
    let check = |memory_default, expected: &str| {
        let counts = TresCounts { node_memory: Megabytes(8000), memory_default, ..TresCounts::default() };
        let mut job = job(4, 10, 0, 0, 0);
        Arc::make_mut(&mut job.spec).request.nodes_min = 2;
        assert_eq!(requested(&job, &counts).get("mem"), expected.parse().ok(), "{memory_default:?}");
    };
    check(None, "16000");
    check(Some(MemoryDefault::PerNode(Megabytes(500))), "1000");
    check(Some(MemoryDefault::PerCpu(Megabytes(100))), "400");
}

#[test]
fn counts_of_one_resource_are_about_the_same_units() {
    let mut job = job(4, 10, 0, 0, 0);
    let of = |count: u64, scope| GresRequest { gres: Gres { name: "gpu".into(), kind: None, count }, scope };
    Arc::make_mut(&mut job.spec).request.gres = vec![of(2, GresScope::Job), of(1, GresScope::Node)];
    assert_eq!(requested(&job, &TresCounts::default()).get("gres/gpu"), Some(2));
}

proptest! {
    /// Fair Tree gives each user the rank that the simple way gives.
    #[test]
    fn fair_tree_agrees_with_the_simple_way(usage in prop::collection::vec(prop_oneof![Just(0.0), 0.0..1e6_f64], 10)) {
        let names = ["root.root", "bio.lp", "bio.news", "bio.bin", "chem.proxy", "chem.uucp", "chem.backup",
            "physics.daemon", "astro.games", "astro.mail"];
        let used: Vec<(&str, f64)> = names.into_iter().zip(usage).collect();
        let tree = tree(&used);
        let found = shares(&tree, &[]);
        for (name, rank) in ranks_by_path(&tree) {
            let factor = found.iter().find(|(known, _)| *known == name).and_then(|it| it.1.factor);
            prop_assert_eq!(factor, Some(rank), "{}", name);
        }
    }

    /// The parts of a ledger, added in their order, are the number, bit for bit; so they are after a way through JSON.
    #[test]
    fn parts_add_up_to_the_priority(
        (cpus, minutes, waited) in (1_u32..500, 1_i64..10_000, 0_i64..1_000_000),
        (nice, site) in (-2_000_000_000_i32..2_000_000_000, -2_000_000_000_i32..2_000_000_000),
        favor_small: bool,
        relative: bool,
    ) {
        let mut config = PriorityConfig { favor_small, ..multifactor() };
        config.flags.extend(relative.then_some(PriorityFlag::SmallRelativeToTime));
        let at = Timestamp::from_seconds(1_000_000);
        let partitions = Vector::from(vec![Arc::new(partition())]);
        let mut snapshot =
            PrioritySnapshot::take(at, &config, &Vector::new(), &partitions, &policy(), &UsageAccounts::default());
        (snapshot.cpus, snapshot.nodes) = (640, 10);
        let job = job(cpus, minutes, nice, site, waited);
        let ledger = ledger(&job, &"p".into(), &snapshot, &config);
        let terms = [ledger.age, ledger.association, ledger.fair_share, ledger.job_size, ledger.part, ledger.qos];
        let mut sum = terms.iter().skip(1).fold(terms[0].product, |sum, term| sum + term.product);
        sum += ledger.tres.iter().fold(0.0, |sum, tres| sum + tres.term.product);
        sum = sum + f64::from(site) - f64::from(nice);
        prop_assert_eq!(sum.to_bits(), ledger.sum().to_bits());
        prop_assert_eq!(ledger.total, sum.clamp(1.0, f64::from(u32::MAX)) as u32);
        let shown = PriorityLedger { held: false, ..ledger.clone() }.whole_parts();
        prop_assert_eq!(shown.iter().map(|(_, part)| part).sum::<i64>(), i64::from(ledger.total), "{:?}", shown);
        for term in terms {
            prop_assert_eq!((term.weight * term.factor).to_bits(), term.product.to_bits());
            prop_assert!((0.0..=1.0).contains(&term.factor), "{:?}", term);
        }
        let again: PriorityLedger = serde_json::from_str(&serde_json::to_string(&ledger).unwrap()).unwrap();
        prop_assert_eq!(again.total, ledger.total);
    }

    /// Forgetting in slices is forgetting at once, but for rounding.
    #[test]
    fn decay_in_slices_is_decay_at_once(raw in 0.0..1e12_f64, slices in prop::collection::vec(1_i64..100_000, 1..20)) {
        let config = PriorityConfig { decay_half_life: Span::from_minutes(600), ..PriorityConfig::default() };
        let factor = UsageAccounts::decay_factor(&config);
        let first = Usage { raw, wall_seconds: raw, ..Usage::default() };
        let mut sliced = first.clone();
        for slice in &slices {
            let next = sliced.as_of + Span::from_seconds(*slice);
            sliced = sliced.at(next, factor);
        }
        let whole = first.at(sliced.as_of, factor);
        prop_assert!((sliced.raw - whole.raw).abs() <= whole.raw * 1e-9, "{} {}", sliced.raw, whole.raw);
        prop_assert_eq!(whole.as_of, sliced.as_of);
    }

    /// Usage is the same bits after it was stored.
    #[test]
    fn usage_survives_the_store(raw: f64, wall in 0.0..1e15_f64) {
        prop_assume!(raw.is_finite());
        let mut usage = Usage { raw, wall_seconds: wall, as_of: Timestamp(5), ..Usage::default() };
        usage.tres_seconds.insert("cpu".into(), raw / 3.0);
        let again: Usage = serde_json::from_str(&serde_json::to_string(&usage).unwrap()).unwrap();
        prop_assert_eq!(again.raw.to_bits(), usage.raw.to_bits());
        prop_assert_eq!(again, usage);
    }
}

/// As seen: 3 CPUs, 3000 MiB, weights `CPU=0.3,Mem=0.25G,GRES/gpu=2.0`.
#[test]
fn jobs_are_billed_as_slurm_bills_them() {
    let amounts = |list: &[(&str, u64)]| {
        let mut amounts = TresAmounts::default();
        list.iter().for_each(|(name, amount)| amounts.add(&(*name).into(), *amount));
        amounts
    };
    let weights =
        vec![("cpu".into(), Weight(0.3)), ("mem".into(), Weight(0.25 / 1024.0)), ("gres/gpu".into(), Weight(2.0))];
    let mut config = PriorityConfig::default();
    config.billing.insert("debug".into(), weights);
    let with_gpu = amounts(&[("cpu", 3), ("mem", 3700), ("gres/gpu", 1)]);
    let shown =
        |amounts: &TresAmounts, partition: &str, config: &PriorityConfig| billed(amounts, partition, config) as u64;
    assert_eq!(shown(&amounts(&[("cpu", 3), ("mem", 3000)]), "debug", &config), 1);
    let fraction = billed(&amounts(&[("cpu", 3)]), "debug", &config);
    assert!((fraction - 0.9).abs() < 1e-9, "{fraction}");
    assert_eq!(shown(&with_gpu, "debug", &config), 3);
    assert_eq!(shown(&with_gpu, "batch", &config), 3, "without weights the CPUs count");
    config.flags = vec![PriorityFlag::MaxTres];
    assert_eq!(shown(&with_gpu, "debug", &config), 2);
    config.flags = vec![PriorityFlag::MaxTresGres];
    assert_eq!(shown(&amounts(&[("cpu", 10), ("gres/gpu", 1)]), "debug", &config), 5);
}

#[test]
fn usage_is_set_back_when_a_period_begins() {
    let day = |days: i64| Timestamp::from_seconds(days * 86_400 + 3600);
    // 1970-01-01 was a Thursday.
    let check = |period: UsageResetPeriod, last: i64, at: i64, expected: bool| {
        assert_eq!(period.has_begun(day(last), day(at)), expected, "{period:?} {last} {at}");
    };
    check(UsageResetPeriod::None, 0, 1000, false);
    check(UsageResetPeriod::Daily, 0, 0, false);
    check(UsageResetPeriod::Daily, 0, 1, true);
    check(UsageResetPeriod::Weekly, 0, 2, false);
    check(UsageResetPeriod::Weekly, 0, 3, true);
    check(UsageResetPeriod::Monthly, 0, 30, false);
    check(UsageResetPeriod::Monthly, 0, 31, true);
    check(UsageResetPeriod::Quarterly, 31, 60, false);
    check(UsageResetPeriod::Quarterly, 31, 90, true);
    check(UsageResetPeriod::Yearly, 31, 364, false);
    check(UsageResetPeriod::Yearly, 31, 365, true);
}
