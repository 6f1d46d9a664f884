//! `--mail-type` lists.

/// All types in the order in which Slurm prints them.
const PRINTED: &[&str] = &[
    "INVALID_DEPEND",
    "BEGIN",
    "END",
    "FAIL",
    "REQUEUE",
    "STAGE_OUT",
    "TIME_LIMIT_50",
    "TIME_LIMIT_80",
    "TIME_LIMIT_90",
    "TIME_LIMIT",
    "ARRAY_TASKS",
];

/// What `ALL` stands for.
const ALL: &[&str] = &["INVALID_DEPEND", "BEGIN", "END", "FAIL", "REQUEUE", "STAGE_OUT"];

/// The list in Slurm's own order and spelling; empty for `NONE`. As real Slurm does, an unknown word ends the list
/// and what came before it counts. `None` when nothing came before it, or when nothing is given at all.
pub fn parse(text: &str) -> Option<String> {
    let mut chosen: Vec<&str> = Vec::new();
    let mut words = 0;
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let upper = word.to_ascii_uppercase();
        match upper.as_str() {
            "NONE" => return Some(String::new()),
            "ALL" => chosen.extend(ALL),
            known => match PRINTED.iter().find(|printed| **printed == known) {
                Some(printed) => chosen.push(printed),
                None => break,
            },
        }
        words += 1;
    }
    if words == 0 {
        return None;
    }
    Some(PRINTED.iter().filter(|printed| chosen.contains(*printed)).copied().collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check =
            |text: &str, expected: &str| assert_eq!(parse(text).as_deref().unwrap_or("bad"), expected, "{text:?}");
        check("NONE", "");
        check("BEGIN", "BEGIN");
        check("begin", "BEGIN");
        check("FAIL,END", "END,FAIL");
        check("ALL", "INVALID_DEPEND,BEGIN,END,FAIL,REQUEUE,STAGE_OUT");
        check("ALL,NONE", "");
        check("BEGIN,bad", "BEGIN");
        check(
            "TIME_LIMIT,TIME_LIMIT_50,TIME_LIMIT_80,TIME_LIMIT_90",
            "TIME_LIMIT_50,TIME_LIMIT_80,TIME_LIMIT_90,TIME_LIMIT",
        );
        check("ARRAY_TASKS", "ARRAY_TASKS");
        check("bad", "bad");
        check("", "bad");
    }
}
