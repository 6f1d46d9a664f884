//! `--mem-bind`: in which domains of memory (NUMA nodes) the tasks of a step get theirs.

use muster_model::resources::IndexSet;

use super::request::{self, print_mask};
use crate::environment::Variables;

/// A binding of memory as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemBind {
    /// Each task says what it was bound to.
    pub verbose: bool,
    /// Other domains are used when the wanted ones are full.
    pub prefer: bool,
    /// Pages are to be sorted, which only some machines of the past could do.
    pub sort: bool,
    /// To which.
    pub to: Option<To>,
}

/// Domains of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// All.
    Nothing,
    /// The first task to the first domain, and so on.
    Rank,
    /// Those of the task's CPUs.
    Local,
    /// Each task to a domain of a list.
    Map(Vec<u32>),
    /// Each task to a mask of a list.
    Mask(Vec<IndexSet>),
}

/// Reads a value of `--mem-bind`; later words take the place of earlier ones.
///
/// # Errors
/// What `srun` says before it gives up.
pub fn parse(text: &str) -> Result<MemBind, String> {
    let mut found = MemBind::default();
    for part in request::parts(text) {
        let lower = part.to_ascii_lowercase();
        let (word, list) = match lower.split_once([':', '=']) {
            Some((word, list)) => (word, Some(list)),
            None => (lower.as_str(), None),
        };
        let list =
            || list.filter(|list| !list.is_empty()).ok_or(format!("missing list for \"--mem-bind={word}:<list>\""));
        match word {
            "q" | "quiet" => found.verbose = false,
            "v" | "verbose" => found.verbose = true,
            "p" | "prefer" => found.prefer = true,
            "sort" => found.sort = true,
            "nosort" => found.sort = false,
            "no" | "none" => found.to = Some(To::Nothing),
            "rank" => found.to = Some(To::Rank),
            "local" => found.to = Some(To::Local),
            "map_mem" | "mapmem" => found.to = Some(To::Map(request::numbers(list()?)?)),
            "mask_mem" | "maskmem" => found.to = Some(To::Mask(request::masks(list()?)?)),
            _ => return Err(format!("unrecognized --mem-bind argument \"{part}\"")),
        }
    }
    Ok(found)
}

/// The binding of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryOfTask {
    /// Its domains; empty for no binding.
    pub domains: IndexSet,
    /// What it says if it is verbose: before and behind its process number.
    pub line: (String, String),
}

impl MemBind {
    /// Whether anything at all is said.
    fn is_said(&self) -> bool {
        *self != MemBind::default()
    }

    /// The kind in variables, and the list.
    fn kind(&self) -> (&'static str, String) {
        match &self.to {
            None => ("", String::new()),
            Some(To::Nothing) => ("none", String::new()),
            Some(To::Rank) => ("rank", String::new()),
            Some(To::Local) => ("local", String::new()),
            Some(To::Map(list)) => ("map_mem:", list.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
            Some(To::Mask(list)) => {
                let list: Vec<String> = list.iter().map(|mask| print_mask(mask, 0)).collect();
                ("mask_mem:", list.join(","))
            }
        }
    }

    /// `SLURM_MEM_BIND` and its kin.
    pub fn variables(&self) -> Variables {
        if !self.is_said() {
            return Vec::new();
        }
        let verbosity = if self.verbose { "verbose" } else { "quiet" };
        let (kind, list) = self.kind();
        let prefer = if self.prefer { ",prefer" } else { "" };
        let separator = if kind.is_empty() { "" } else { "," };
        let mut variables = vec![
            ("SLURM_MEM_BIND", format!("{verbosity}{prefer}{separator}{kind}{list}")),
            ("SLURM_MEM_BIND_VERBOSE", verbosity.to_owned()),
            ("SLURM_MEM_BIND_TYPE", kind.to_owned()),
            ("SLURM_MEM_BIND_LIST", list),
        ];
        variables.extend(self.prefer.then(|| ("SLURM_MEM_BIND_PREFER", "prefer".to_owned())));
        variables.extend(self.sort.then(|| ("SLURM_MEM_BIND_SORT", "sort".to_owned())));
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Binds a task. `machine` has the CPUs of each domain, `cpus` are those of the task (none for any), `local` is its
    /// place among the tasks of the node.
    ///
    /// # Errors
    /// What the task says before it ends with 1.
    pub fn bind(
        &self,
        machine: &[IndexSet],
        cpus: &IndexSet,
        (node_name, rank, local): (&str, u32, usize),
    ) -> Result<MemoryOfTask, String> {
        let all = IndexSet::first_n(machine.len() as u32);
        let (kind, _) = self.kind();
        let there = |number: u32| match (number as usize) < machine.len() {
            true => Ok(()),
            false => Err(format!(
                "NUMA node {number} does not exist; cannot bind local task {local} to it (--mem-bind={})",
                kind.trim_end_matches(':')
            )),
        };
        let mut domains = IndexSet::default();
        let action = match &self.to {
            // As in Slurm, which takes these words for half a binding.
            None if self.prefer || self.sort && self.verbose => {
                return Err(format!("--mem-bind value is empty for local task {local}"));
            }
            None => "NULL",
            Some(To::Nothing) => "NONE",
            Some(To::Rank) => {
                let number = u32::try_from(local).unwrap_or(u32::MAX);
                there(number)?;
                domains.insert(number);
                "RANK"
            }
            Some(To::Local) => {
                let near = |number: &u32| machine.get(*number as usize).is_some_and(|own| !own.is_disjoint(cpus));
                all.iter().filter(near).for_each(|number| domains.insert(number));
                if domains.is_empty() {
                    domains.clone_from(&all);
                }
                "LOC"
            }
            Some(To::Map(list)) => {
                for number in list.iter().cycle().skip(local).take(list.len().min(1)) {
                    there(*number)?;
                    domains.insert(*number);
                }
                "MAP"
            }
            Some(To::Mask(list)) => {
                for mask in list.iter().cycle().skip(local).take(list.len().min(1)) {
                    mask.iter().try_for_each(there)?;
                    domains.clone_from(mask);
                }
                "MASK"
            }
        };
        let sign = if self.prefer && !domains.is_empty() { " PREFER " } else { "=" };
        let set = if domains.is_empty() { "" } else { " set" };
        let shown = if domains.is_empty() { &all } else { &domains };
        let mask = print_mask(shown, 0).to_ascii_lowercase();
        let before = format!("mem-bind{sign}{action} - {node_name}, task {rank:2} {local:2} [");
        Ok(MemoryOfTask { line: (before, format!("]: mask 0x{mask}{set}")), domains })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(from: u32, to: u32) -> IndexSet {
        (from..to).fold(IndexSet::default(), |mut set, cpu| {
            set.insert(cpu);
            set
        })
    }

    /// What the second task of a machine of two domains is told and says.
    fn check(asked: &str, expected: &str) {
        let found = parse(asked).and_then(|bind| {
            let machine = [domain(0, 4), domain(4, 8)];
            let task = bind.bind(&machine, &domain(4, 5), ("n1", 7, 1))?;
            let variables: Vec<String> =
                bind.variables().iter().map(|(name, value)| format!("{}={value}", &name[14..])).collect();
            Ok(format!("{} | {}9{}", variables.join(" "), task.line.0, task.line.1))
        });
        assert_eq!(found.unwrap_or_else(|error| error), expected, "{asked}");
    }

    /// Texts of real Slurm 22.05, numbers apart.
    #[test]
    fn texts_are_those_of_real_slurm() {
        check("quiet", " | mem-bind=NULL - n1, task  7  1 [9]: mask 0x3");
        check("v", "=verbose _VERBOSE=verbose _TYPE= _LIST= | mem-bind=NULL - n1, task  7  1 [9]: mask 0x3");
        check("none", "=quiet,none _VERBOSE=quiet _TYPE=none _LIST= | mem-bind=NONE - n1, task  7  1 [9]: mask 0x3");
        check(
            "verbose,local",
            "=verbose,local _VERBOSE=verbose _TYPE=local _LIST= | mem-bind=LOC - n1, task  7  1 [9]: mask 0x2 set",
        );
        check(
            "rank",
            "=quiet,rank _VERBOSE=quiet _TYPE=rank _LIST= | mem-bind=RANK - n1, task  7  1 [9]: mask 0x2 set",
        );
        check(
            "v,prefer,map_mem:1,0",
            "=verbose,prefer,map_mem:1,0 _VERBOSE=verbose _TYPE=map_mem: _LIST=1,0 _PREFER=prefer \
             | mem-bind PREFER MAP - n1, task  7  1 [9]: mask 0x1 set",
        );
        check(
            "mask_mem:0x3",
            "=quiet,mask_mem:3 _VERBOSE=quiet _TYPE=mask_mem: _LIST=3 | mem-bind=MASK - n1, task  7  1 [9]: mask 0x3 set",
        );
        check("sort", "=quiet _VERBOSE=quiet _TYPE= _LIST= _SORT=sort | mem-bind=NULL - n1, task  7  1 [9]: mask 0x3");
        check("map_mem:5", "NUMA node 5 does not exist; cannot bind local task 1 to it (--mem-bind=map_mem)");
        check("mask_mem:0x9", "NUMA node 3 does not exist; cannot bind local task 1 to it (--mem-bind=mask_mem)");
        check("bogus,local", "unrecognized --mem-bind argument \"bogus\"");
        check("prefer", "--mem-bind value is empty for local task 1");
        check("map_mem", "missing list for \"--mem-bind=map_mem:<list>\"");
    }
}
