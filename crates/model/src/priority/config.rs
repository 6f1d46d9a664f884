//! How priorities are calculated: what `slurm.conf` says with `Priority…`.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Weight;
use crate::ids::Name;
use crate::time::{Span, Timestamp};

/// `PriorityType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriorityType {
    /// `priority/basic`: first come, first served. Each job gets one less than the one before.
    #[default]
    Basic,
    /// `priority/multifactor`: the weighted sum of factors, calculated anew every [`PriorityConfig::calculation_period`].
    Multifactor,
}

/// `PriorityFlags`, spelled as Slurm spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PriorityFlag {
    /// Age counts from the submit, whatever held the job back.
    AccrueAlways,
    /// Priorities of running jobs are calculated too.
    CalculateRunning,
    /// Classic fair share: the shares of accounts far above a user count less.
    DepthOblivious,
    /// Classic fair share instead of Fair Tree.
    NoFairTree,
    /// Priorities only rise.
    IncrOnly,
    /// A job is billed for the greatest of what it holds on a node.
    MaxTres,
    /// As [`PriorityFlag::MaxTres`], with generic resources added.
    MaxTresGres,
    /// The priority of an association counts as it is.
    NoNormalAssoc,
    /// The job factor of a partition counts as it is.
    NoNormalPart,
    /// The priority of a QOS counts as it is.
    NoNormalQos,
    /// Amounts of resources count as they are.
    NoNormalTres,
    /// The size of a job is its CPUs divided by its time limit.
    SmallRelativeToTime,
}

impl PriorityFlag {
    /// All of them with their names in `slurm.conf`. `NO_NORMAL_ALL` stands for four.
    pub const NAMES: &[(&str, PriorityFlag)] = &[
        ("ACCRUE_ALWAYS", PriorityFlag::AccrueAlways),
        ("CALCULATE_RUNNING", PriorityFlag::CalculateRunning),
        ("DEPTH_OBLIVIOUS", PriorityFlag::DepthOblivious),
        ("NO_FAIR_TREE", PriorityFlag::NoFairTree),
        ("INCR_ONLY", PriorityFlag::IncrOnly),
        ("MAX_TRES", PriorityFlag::MaxTres),
        ("MAX_TRES_GRES", PriorityFlag::MaxTresGres),
        ("NO_NORMAL_ASSOC", PriorityFlag::NoNormalAssoc),
        ("NO_NORMAL_PART", PriorityFlag::NoNormalPart),
        ("NO_NORMAL_QOS", PriorityFlag::NoNormalQos),
        ("NO_NORMAL_TRES", PriorityFlag::NoNormalTres),
        ("SMALL_RELATIVE_TO_TIME", PriorityFlag::SmallRelativeToTime),
    ];
}

/// `PriorityUsageResetPeriod`: when all usage is set to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the period of that name")]
pub enum UsageResetPeriod {
    #[default]
    None,
    /// Once, when the controller reads it.
    Now,
    Daily,
    Weekly,
    Monthly,
    Quarterly,
    Yearly,
}

/// Days within which each period begins anew.
const PERIOD_DAYS_MAX: i64 = 366;

impl UsageResetPeriod {
    /// When the next period begins.
    pub fn next_after(self, now: Timestamp) -> Option<Timestamp> {
        const DAY_MS: i64 = 86_400_000;
        let today = now.0.div_euclid(DAY_MS);
        let midnights = (1..=PERIOD_DAYS_MAX).map(|days| Timestamp((today + days) * DAY_MS));
        midnights.into_iter().find(|midnight| self.has_begun(now, *midnight))
    }

    /// Whether a period has begun after `last` and not after `at`. Days begin at midnight UTC, weeks on Sunday.
    pub fn has_begun(self, last: Timestamp, at: Timestamp) -> bool {
        let day =
            |time: Timestamp| Some(jiff::Timestamp::from_millisecond(time.0).ok()?.to_zoned(TimeZone::UTC).date());
        let (Some(last), Some(at)) = (day(last), day(at)) else { return false };
        let quarter = |month: i8| (month - 1) / 3;
        let week = |day: jiff::civil::Date| {
            day.checked_sub(jiff::Span::new().days(day.weekday().to_sunday_zero_offset())).unwrap_or(day)
        };
        at > last
            && match self {
                UsageResetPeriod::None | UsageResetPeriod::Now => false,
                UsageResetPeriod::Daily => true,
                UsageResetPeriod::Weekly => week(at) != week(last),
                UsageResetPeriod::Monthly => (at.year(), at.month()) != (last.year(), last.month()),
                UsageResetPeriod::Quarterly => (at.year(), quarter(at.month())) != (last.year(), quarter(last.month())),
                UsageResetPeriod::Yearly => at.year() != last.year(),
            }
    }
}

/// How priorities are calculated. Defaults are Slurm's: all weights are 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PriorityConfig {
    /// `PriorityType`.
    pub kind: PriorityType,
    /// `PriorityFlags`.
    pub flags: Vec<PriorityFlag>,
    /// `PriorityCalcPeriod`: time between two calculations.
    pub calculation_period: Span,
    /// `PriorityDecayHalfLife`: after this long half of a usage is forgotten; zero for never.
    pub decay_half_life: Span,
    /// `PriorityUsageResetPeriod`.
    pub usage_reset: UsageResetPeriod,
    /// `PriorityMaxAge`: waiting time at which the age factor is 1.
    pub age_max: Span,
    /// `PriorityFavorSmall`.
    pub favor_small: bool,
    /// `FairShareDampeningFactor` of classic fair share.
    pub fair_share_dampening: u16,
    /// `PriorityWeightAge`.
    pub weight_age: u32,
    /// `PriorityWeightAssoc`.
    pub weight_association: u32,
    /// `PriorityWeightFairShare`.
    pub weight_fair_share: u32,
    /// `PriorityWeightJobSize`.
    pub weight_job_size: u32,
    /// `PriorityWeightPartition`.
    pub weight_partition: u32,
    /// `PriorityWeightQOS`.
    pub weight_qos: u32,
    /// `PriorityWeightTRES`, by resource in lower case, in the order of [`PriorityConfig::tracked`].
    pub weight_tres: Vec<(Name, Weight)>,
    /// The same as it is written, to be shown.
    pub weight_tres_text: Name,
    /// `AccountingStorageTRES` with what is always counted, in the order in which it is shown.
    pub tracked: Vec<Name>,
    /// `TRESBillingWeights` of partitions, by partition and resource; memory by MiB.
    pub billing: BTreeMap<Name, Vec<(Name, Weight)>>,
    /// `enable_user_top` of `SchedulerParameters`: users may put their own jobs first.
    pub user_top: bool,
}

impl PriorityConfig {
    /// Whether that flag is set.
    pub fn has(&self, flag: PriorityFlag) -> bool {
        self.flags.contains(&flag)
    }

    /// What is always counted, in Slurm's order.
    pub const TRACKED_ALWAYS: &[&str] = &["cpu", "mem", "energy", "node", "billing", "fs/disk", "vmem", "pages"];
}

impl Default for PriorityConfig {
    fn default() -> Self {
        PriorityConfig {
            kind: PriorityType::Basic,
            flags: Vec::new(),
            calculation_period: Span::from_minutes(5),
            decay_half_life: Span::from_minutes(7 * 24 * 60),
            usage_reset: UsageResetPeriod::None,
            age_max: Span::from_minutes(7 * 24 * 60),
            favor_small: false,
            fair_share_dampening: 1,
            weight_age: 0,
            weight_association: 0,
            weight_fair_share: 0,
            weight_job_size: 0,
            weight_partition: 0,
            weight_qos: 0,
            weight_tres: Vec::new(),
            weight_tres_text: "".into(),
            tracked: PriorityConfig::TRACKED_ALWAYS.iter().map(|name| Name::from(*name)).collect(),
            billing: BTreeMap::new(),
            user_top: false,
        }
    }
}
