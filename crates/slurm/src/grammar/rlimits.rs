//! `--propagate`: which resource limits of the submitting process go with the job.

/// The limits that Slurm can propagate, with their numbers on Linux (`RLIMIT_*`).
pub const KNOWN: &[(&str, u32)] = &[
    ("CPU", 0),
    ("FSIZE", 1),
    ("DATA", 2),
    ("STACK", 3),
    ("CORE", 4),
    ("RSS", 5),
    ("NPROC", 6),
    ("NOFILE", 7),
    ("MEMLOCK", 8),
    ("AS", 9),
];

/// The numbers of the limits that `text` names: `ALL`, `NONE`, or a list in any case, with or without `RLIMIT_`.
///
/// # Errors
/// The first name that is not known.
pub fn parse(text: &str) -> Result<Vec<u32>, String> {
    match text.to_ascii_uppercase().as_str() {
        "ALL" => return Ok(KNOWN.iter().map(|(_, number)| *number).collect()),
        "NONE" => return Ok(Vec::new()),
        _ => {}
    }
    let mut chosen = Vec::new();
    for word in text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()) {
        let upper = word.to_ascii_uppercase();
        let name = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
        match KNOWN.iter().find(|(known, _)| *known == name) {
            Some((_, number)) => chosen.push(*number),
            None => return Err(word.to_owned()),
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(parse("ALL").map(|all| all.len()), Ok(10));
        assert_eq!(parse("none"), Ok(vec![]));
        assert_eq!(parse("CPU,RLIMIT_NOFILE"), Ok(vec![0, 7]));
        assert_eq!(parse("CPU,BAD"), Err("BAD".to_owned()));
    }
}
