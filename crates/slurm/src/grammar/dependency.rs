//! `--dependency` lists: `afterok:12:13,singleton`, `after:7+10?afterany:8_1`.

use muster_model::dependency::{Dependencies, Dependency, DependencyKind, DependencyState};
use muster_model::ids::JobId;

use super::numbers;

/// Most dependencies of one job; a longer list is refused like a malformed one.
const COUNT_MAX: usize = 100_000;

/// Why a list cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyError {
    /// Malformed: Slurm's "Job dependency problem".
    Malformed,
}

/// Reads a list. An empty text waits for nothing. A `?` anywhere makes one of all enough, as in real Slurm, where it
/// cannot be mixed with `,` either. A bare number means `afterany`. `N_*` means the whole array, as `N` does.
///
/// # Errors
/// As [`DependencyError`] says.
pub fn parse(text: &str) -> Result<Dependencies, DependencyError> {
    let mut all = Vec::new();
    if text.is_empty() {
        return Ok(Dependencies::default());
    }
    for part in text.split([',', '?']) {
        parse_part(part, &mut all)?;
        if all.len() > COUNT_MAX {
            return Err(DependencyError::Malformed);
        }
    }
    Ok(Dependencies { all, any_is_enough: text.contains('?') })
}

fn parse_part(part: &str, all: &mut Vec<Dependency>) -> Result<(), DependencyError> {
    if part.eq_ignore_ascii_case("singleton") {
        all.push(Dependency {
            kind: DependencyKind::Singleton,
            job: None,
            task_index: None,
            delay_minutes: 0,
            of_array: false,
            state: DependencyState::Unfulfilled,
        });
        return Ok(());
    }
    let (word, jobs) = part.split_once(':').unwrap_or(("", part));
    let kind = match word.to_ascii_lowercase().as_str() {
        // A list without a word continues the kind before it (`afterok:1,2`), or means `afterany` at the front and after
        // `expand`, which names one job.
        "" if !part.starts_with(':') => match all.last() {
            Some(previous) if previous.kind != DependencyKind::Expand => previous.kind,
            _ => DependencyKind::AfterAny,
        },
        "after" => DependencyKind::After,
        "afterany" => DependencyKind::AfterAny,
        "afterok" => DependencyKind::AfterOk,
        "afternotok" => DependencyKind::AfterNotOk,
        "aftercorr" => DependencyKind::AfterCorr,
        "afterburstbuffer" => DependencyKind::AfterBurstBuffer,
        "expand" if !jobs.contains(':') => DependencyKind::Expand,
        _ => return Err(DependencyError::Malformed),
    };
    if kind == DependencyKind::Singleton {
        return Err(DependencyError::Malformed);
    }
    for job in jobs.split(':') {
        all.push(parse_job(kind, job).ok_or(DependencyError::Malformed)?);
    }
    Ok(())
}

fn parse_job(kind: DependencyKind, text: &str) -> Option<Dependency> {
    let (number, rest) = numbers::leading(text)?;
    // Slurm reads the number with `strtol` into 32 bits: -1 is a job that can never be.
    let job = JobId(u32::try_from(number).unwrap_or(u32::MAX));
    let (task_index, rest) = match rest.strip_prefix('_') {
        None => (None, rest),
        Some(rest) => match rest.strip_prefix('*') {
            Some(rest) => (None, rest),
            None => {
                let (index, rest) = numbers::leading(rest)?;
                (Some(u32::try_from(index).ok()?), rest)
            }
        },
    };
    let delay_minutes = match rest.strip_prefix('+') {
        Some(minutes) => numbers::whole(minutes).and_then(|value| u32::try_from(value).ok())?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    Some(Dependency {
        kind,
        job: Some(job),
        task_index,
        delay_minutes,
        of_array: false,
        state: DependencyState::Unfulfilled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check = |text: &str, expected: &str| {
            let found = match parse(text) {
                Ok(dependencies) => dependencies.to_string().replace("(unfulfilled)", ""),
                Err(error) => format!("{error:?}"),
            };
            assert_eq!(found, expected, "{text:?}");
        };
        check("999999", "afterany:999999");
        check("afterok:999999", "afterok:999999");
        check("AFTEROK:1", "afterok:1");
        check("afterok:1:2", "afterok:1,afterok:2");
        check("afterok:1,2", "afterok:1,afterok:2");
        check("singleton", "singleton");
        check("afterok:1+5", "afterok:1+5");
        check("after:999999+10", "after:999999+10");
        check("afterok:1,afterany:2", "afterok:1,afterany:2");
        check("afterok:1,afterany:2?after:3", "afterok:1?afterany:2?after:3");
        check("afterok:-1", "afterok:4294967295");
        check("afterok:1_1", "afterok:1_1");
        check("afterok:1_*", "afterok:1");
        check("afterok:7:999999,singleton", "afterok:7,afterok:999999,singleton");
        check("", "");
        check("expand:9", "expand:9");
        check("expand:9_1+5,afterok:3", "expand:9_1+5,afterok:3");
        check("expand:9,9", "expand:9,afterany:9");
        for bad in [
            "afterok:abc",
            "garbage",
            "afterok",
            "afterok:",
            "afterok:1:",
            ",",
            "afterok=1",
            "after:1+abc",
            ":1",
            "singleton,1",
            "expand:1:2",
            "expand",
        ] {
            check(bad, "Malformed");
        }
    }
}
