//! States of nodes as shown: `idle`, `mix*`, `drng`, `IDLE+DRAIN`, and the words by which users ask for them.

use muster_model::node::{Node, NodeHealth, NodeUse};

/// The base state of a node, by its number in Slurm, which is what tables are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// Never registered.
    Unknown = 0,
    /// Not usable.
    Down = 1,
    /// Nothing given away.
    Idle = 2,
    /// All CPUs given away.
    Allocated = 3,
    /// Some CPUs given away.
    Mixed = 5,
    /// Defined only.
    Future = 6,
}

/// Takes no new jobs.
const DRAIN: u32 = 1 << 9;
/// A reservation in force has it.
const RESERVED: u32 = 1 << 5;
/// That one is for maintenance.
const MAINTENANCE: u32 = 1 << 15;
/// Ended jobs are being cleaned.
const COMPLETING: u32 = 1 << 10;
/// The agent is silent.
const NOT_RESPONDING: u32 = 1 << 11;
/// A planned start has it, and nobody works on it now.
const PLANNED: u32 = 1 << 21;

/// A base state with flags, as Slurm keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeState {
    /// Flags.
    flags: u32,
    /// Base state.
    pub base: Base,
}

/// Whether nothing but completing and suspended jobs is known to be there.
fn stands(used: &NodeUse) -> bool {
    used.jobs_completing + used.jobs_suspended > 0
}

impl NodeState {
    /// The state of `node`.
    pub fn of(node: &Node) -> NodeState {
        let (cpus, used) = (node.used.cpus.len(), &node.used);
        let base = match node.health {
            NodeHealth::Unknown => Base::Unknown,
            NodeHealth::Down => Base::Down,
            NodeHealth::Future => Base::Future,
            // What only completing or suspended jobs hold is not counted as work.
            NodeHealth::Up if cpus == 0 || (used.jobs_running <= used.jobs_suspended && stands(used)) => Base::Idle,
            NodeHealth::Up if cpus >= node.config.hardware.cpus => Base::Allocated,
            NodeHealth::Up => Base::Mixed,
        };
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(node.drain, DRAIN)
            | flag(node.used.jobs_completing > 0, COMPLETING)
            | flag(node.reserved, RESERVED)
            | flag(node.maintenance, MAINTENANCE)
            | flag(node.planned && base == Base::Idle && used.jobs_completing == 0 && !node.drain, PLANNED)
            | flag(node.not_responding && node.health != NodeHealth::Future, NOT_RESPONDING);
        NodeState { flags, base }
    }

    fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Takes no new jobs.
    pub fn drains(self) -> bool {
        self.has(DRAIN)
    }

    /// The agent is silent.
    pub fn is_silent(self) -> bool {
        self.has(NOT_RESPONDING)
    }

    /// Works for a job, or cleans up after one.
    fn is_busy(self) -> bool {
        self.has(COMPLETING) || matches!(self.base, Base::Allocated | Base::Mixed)
    }

    /// Number by which tables are ordered.
    pub fn number(self) -> u32 {
        self.flags | self.base as u32
    }

    /// The long word: `idle`, `allocated+`, `drained*`, in lower case.
    pub fn long(self) -> String {
        let kept = ["maint", "reserved", "planned"];
        self.word(
            ["draining", "drained", "allocated", "completing", "unknown", "down", "idle", "mixed", "future"],
            kept,
        )
    }

    /// The short word: `idle`, `alloc+`, `drain*`.
    pub fn compact(self) -> String {
        let kept = ["maint", "resv", "plnd"];
        self.word(["drng", "drain", "alloc", "comp", "unk", "down", "idle", "mix", "futr"], kept)
    }

    fn word(self, words: [&str; 9], [maint, reserved, planned]: [&str; 3]) -> String {
        let [draining, drained, allocated, completing, unknown, down, idle, mixed, future] = words;
        // Maintenance is told of every node under it, and nothing else then of one that works or is out of service.
        let silent = match self.base {
            Base::Down | Base::Allocated | Base::Mixed if self.has(MAINTENANCE) => "$",
            _ if self.has(MAINTENANCE) && self.drains() => "$",
            _ if self.is_silent() => "*",
            _ => "",
        };
        let word = match self.base {
            _ if self.drains() => {
                if self.is_busy() {
                    draining
                } else {
                    drained
                }
            }
            Base::Down => down,
            Base::Allocated if self.has(COMPLETING) && silent.is_empty() => return format!("{allocated}+"),
            Base::Allocated => allocated,
            Base::Mixed if self.has(MAINTENANCE) => mixed,
            Base::Idle if self.has(MAINTENANCE) => maint,
            _ if self.has(COMPLETING) => completing,
            Base::Unknown => unknown,
            Base::Idle if self.has(RESERVED) => reserved,
            Base::Idle if self.has(PLANNED) => planned,
            Base::Idle => idle,
            Base::Mixed => mixed,
            Base::Future => future,
        };
        format!("{word}{silent}")
    }

    /// Base state and all flags: `IDLE+DRAIN+NOT_RESPONDING`.
    pub fn complete(self) -> String {
        let base = match self.base {
            Base::Unknown => "UNKNOWN",
            Base::Down => "DOWN",
            Base::Idle => "IDLE",
            Base::Allocated => "ALLOCATED",
            Base::Mixed => "MIXED",
            Base::Future => "FUTURE",
        };
        let flags = [
            (MAINTENANCE, "+MAINTENANCE"),
            (RESERVED, "+RESERVED"),
            (DRAIN, "+DRAIN"),
            (COMPLETING, "+COMPLETING"),
            (PLANNED, "+PLANNED"),
            (NOT_RESPONDING, "+NOT_RESPONDING"),
        ];
        flags.iter().filter(|(flag, _)| self.has(*flag)).fold(base.to_owned(), |text, (_, word)| text + word)
    }
}

/// A state that users ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A base state.
    Base(Base),
    /// Takes no new jobs, whether it still works or not.
    Drain,
    /// Takes no new jobs and does not work.
    Drained,
    /// Takes no new jobs and still works.
    Draining,
    /// Cleans up after jobs.
    Completing,
    /// The agent is silent.
    NotResponding,
    /// A reservation has it.
    Reserved,
    /// A reservation for maintenance has it.
    Maintenance,
    /// A planned start has it.
    Planned,
    /// A flag that no node here ever carries.
    Never,
}

/// The words for states, in the order of Slurm's list of them.
const WORDS: &[(&str, Asked)] = &[
    ("unknown", Asked::Base(Base::Unknown)),
    ("down", Asked::Base(Base::Down)),
    ("idle", Asked::Base(Base::Idle)),
    ("allocated", Asked::Base(Base::Allocated)),
    ("?", Asked::Never),
    ("mixed", Asked::Base(Base::Mixed)),
    ("future", Asked::Base(Base::Future)),
    ("drain", Asked::Drain),
    ("drained", Asked::Drained),
    ("draining", Asked::Draining),
    ("no_respond", Asked::NotResponding),
    ("reserved", Asked::Reserved),
    ("perfctrs", Asked::Never),
    ("cloud", Asked::Never),
    ("completing", Asked::Completing),
    ("powering_down", Asked::Never),
    ("powered_down", Asked::Never),
    ("power_down", Asked::Never),
    ("powering_up", Asked::Never),
    ("fail", Asked::Never),
    ("maint", Asked::Maintenance),
    ("reboot", Asked::Never),
    ("reboot^", Asked::Never),
    ("unknown", Asked::Base(Base::Unknown)),
];

impl Asked {
    /// Reads a word or the beginning of one, in any case, or a short word as shown (`drng`, `unk`, `futr`).
    pub fn parse(text: &str) -> Option<Asked> {
        let lower = text.to_ascii_lowercase();
        if lower.is_empty() {
            return None;
        }
        match lower.as_str() {
            "drng" => return Some(Asked::Draining),
            "resv" => return Some(Asked::Reserved),
            "futr" => return Some(Asked::Base(Base::Future)),
            "planned" | "plnd" => return Some(Asked::Planned),
            "err" | "error" | "failing" | "failg" | "pow_dn" | "pow_up" | "blocked" => {
                return Some(Asked::Never);
            }
            _ => {}
        }
        WORDS.iter().find(|(word, _)| word.starts_with(&lower)).map(|(_, asked)| *asked)
    }

    /// Whether a node in `state` is in this state.
    pub fn matches(self, state: NodeState) -> bool {
        match self {
            Asked::Base(base) => state.base == base,
            Asked::Drain => state.drains(),
            Asked::Drained => state.drains() && !state.is_busy(),
            Asked::Draining => state.drains() && state.is_busy(),
            Asked::Completing => state.has(COMPLETING),
            Asked::NotResponding => state.is_silent(),
            Asked::Reserved => state.has(RESERVED),
            Asked::Maintenance => state.has(MAINTENANCE),
            Asked::Planned => state.has(PLANNED),
            Asked::Never => false,
        }
    }

    /// All words, comma separated, as complaints list them.
    pub fn all_words() -> String {
        WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `sinfo` of Slurm 22.05 tells them.
    #[test]
    fn maintenance_is_told_of_every_node_under_it() {
        let check = |base: Base, flags: u32, expected: &str| {
            let state = NodeState { flags: flags | MAINTENANCE, base };
            assert_eq!(format!("{} {}", state.long(), state.compact()), expected);
        };
        check(Base::Allocated, 0, "allocated$ alloc$");
        check(Base::Allocated, COMPLETING, "allocated$ alloc$");
        check(Base::Mixed, RESERVED, "mixed$ mix$");
        check(Base::Idle, RESERVED, "maint maint");
        check(Base::Idle, NOT_RESPONDING, "maint* maint*");
        check(Base::Idle, DRAIN, "drained$ drain$");
        check(Base::Down, NOT_RESPONDING, "down$ down$");
    }
}
