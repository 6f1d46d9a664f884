//! `--export` lists: `ALL`, `NONE`, `NIL`, `A,B=2`, `ALL,A="x,y"`.

use std::collections::BTreeMap;

/// What of the caller's environment a job or step gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportList {
    /// Everything, then [`ExportList::names`] on top.
    pub all: bool,
    /// Variables in the order given, with a value where one is set here.
    pub names: Vec<(String, Option<String>)>,
}

/// Reads a list. Commas within quotes belong to the value; the quotes go.
pub fn parse(text: &str) -> ExportList {
    let mut list = ExportList { all: false, names: Vec::new() };
    if text.eq_ignore_ascii_case("NONE") || text.eq_ignore_ascii_case("NIL") {
        return list;
    }
    for item in split(text) {
        match item.split_once('=') {
            Some((name, value)) if !name.is_empty() => list.names.push((name.to_owned(), Some(value.to_owned()))),
            Some(_) => {}
            None if item.eq_ignore_ascii_case("ALL") => list.all = true,
            // NONE among other words only says what leaving ALL out says.
            None if item.eq_ignore_ascii_case("NONE") || item.is_empty() => {}
            None => list.names.push((item, None)),
        }
    }
    list
}

fn split(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ',') => items.push(String::new()),
            _ => {
                if let Some(item) = items.last_mut() {
                    item.push(c);
                }
            }
        }
    }
    items
}

impl ExportList {
    /// The variables of `environment` that pass, with those that the list itself sets. Variables of Slurm
    /// (`SLURM_*`, and `SPANK_*`, which plug-ins read) always pass, as in real `sbatch` and `srun`.
    pub fn apply(&self, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut passed: BTreeMap<String, String> = environment
            .iter()
            .filter(|(name, _)| self.all || name.starts_with("SLURM_") || name.starts_with("SPANK_"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for (name, value) in &self.names {
            match value.as_ref().or_else(|| environment.get(name)) {
                Some(value) => drop(passed.insert(name.clone(), value.clone())),
                None => drop(passed.remove(name)),
            }
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_choose_and_set() {
        let environment: BTreeMap<String, String> =
            [("A", "outer"), ("MYVAR", "mine"), ("SLURM_CONF", "c")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let check = |text: &str, expected: &str| {
            let passed = parse(text).apply(&environment);
            let printed: Vec<String> = passed.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(printed.join(" "), expected, "{text:?}");
        };
        check("ALL", "A=outer MYVAR=mine SLURM_CONF=c");
        check("NONE", "SLURM_CONF=c");
        check("NIL", "SLURM_CONF=c");
        check("A=1", "A=1 SLURM_CONF=c");
        check("ALL,B=2", "A=outer B=2 MYVAR=mine SLURM_CONF=c");
        check("MYVAR", "MYVAR=mine SLURM_CONF=c");
        check("NONE,C=3", "C=3 SLURM_CONF=c");
        check("A=\"x,y\",U=http://h:1/", "A=x,y SLURM_CONF=c U=http://h:1/");
        check("NOSUCH,=x,", "SLURM_CONF=c");
    }
}
