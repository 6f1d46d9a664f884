//! Generic resources: `gpu`, `gpu:2`, `gpu:h100:2`, lists of them, and what the `--gpus*` options take.

use muster_model::ids::Name;
use muster_model::resources::Gres;

/// Why a list cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GresError {
    /// Malformed, or a kind that the cluster does not have: Slurm's "Invalid generic resource (gres) specification".
    Invalid,
    /// Nothing at all is named: Slurm's "Invalid Trackable RESource (TRES) specification".
    Empty,
}

/// Reads `--gres`. `types` are the kinds that the cluster has (`GresTypes`); `None` when not known, then any is fine.
/// `none` asks for nothing. A leading `gres:` or `gres/` is fine. A count of 0 asks for nothing of that kind.
///
/// # Errors
/// As [`GresError`] says.
pub fn parse_list(text: &str, types: Option<&[Name]>) -> Result<Vec<Gres>, GresError> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    if text.is_empty() {
        return Err(GresError::Empty);
    }
    let mut list: Vec<Gres> = Vec::new();
    for item in text.split(',') {
        let item = item.strip_prefix("gres:").or_else(|| item.strip_prefix("gres/")).unwrap_or(item);
        let gres = parse_item(item).ok_or(GresError::Invalid)?;
        if types.is_some_and(|types| !types.contains(&gres.name)) {
            return Err(GresError::Invalid);
        }
        merge(&mut list, gres);
    }
    Ok(list)
}

/// Reads what `--gpus`, `--gpus-per-node` and their kin take: `[type:]count` lists.
///
/// # Errors
/// As [`GresError`] says.
pub fn parse_gpus(text: &str) -> Result<Vec<Gres>, GresError> {
    let mut list = Vec::new();
    for item in text.split(',') {
        let item = item.strip_prefix("gres:").unwrap_or(item);
        merge(&mut list, parse_item(&format!("gpu:{item}")).ok_or(GresError::Invalid)?);
    }
    Ok(list)
}

fn merge(list: &mut Vec<Gres>, gres: Gres) {
    match list.iter_mut().find(|known| known.name == gres.name && known.kind == gres.kind) {
        Some(known) => known.count = known.count.saturating_add(gres.count),
        None => list.push(gres),
    }
}

/// `name`, `name:count`, `name:type`, `name:type:count`. What stands last is a count if it is a number (with an
/// optional `K M G T P`), else a type of which one is wanted.
fn parse_item(item: &str) -> Option<Gres> {
    let mut parts = item.split(':');
    let name = parts.next().filter(|name| is_word(name))?;
    let (kind, count) = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => (None, 1),
        (Some(last), None, None) => match parse_count(last) {
            Some(count) => (None, count),
            None => (Some(last).filter(|kind| is_word(kind))?.into(), 1),
        },
        (Some(kind), Some(count), None) => (Some(kind).filter(|kind| is_word(kind)), parse_count(count)?),
        _ => return None,
    };
    Some(Gres { name: name.into(), kind: kind.map(Name::from), count })
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
}

/// `4`, `2K`, `1G`: base 1024.
pub fn parse_count(text: &str) -> Option<u64> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(digits_end);
    let number: u64 = digits.parse().ok()?;
    let shift = match suffix.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// The list as `scontrol` and `squeue` show it: `gres:gpu:2,gres:gpu:h100:1`.
pub fn print(list: &[Gres]) -> String {
    list.iter().map(|gres| format!("gres:{gres}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let types: Vec<Name> = vec!["gpu".into(), "tmpfs".into()];
        let check = |text: &str, expected: &str| {
            let found = parse_list(text, Some(&types)).map_or_else(|error| format!("{error:?}"), |list| print(&list));
            assert_eq!(found, expected, "{text:?}");
        };
        check("gpu", "gres:gpu:1");
        check("gpu:2", "gres:gpu:2");
        check("gpu:0", "gres:gpu:0");
        check("gpu:a100:1", "gres:gpu:a100:1");
        check("gpu:abc", "gres:gpu:abc:1");
        check("gpu:-1", "gres:gpu:-1:1");
        check("gres:gpu:1", "gres:gpu:1");
        check("gpu:1,tmpfs:2G", "gres:gpu:1,gres:tmpfs:2147483648");
        check("gpu:1,gpu:2", "gres:gpu:3");
        check("none", "");
        check("", "Empty");
        for bad in ["nosuch:1", "gpu:", "gpu=1", "gpu:a100:", "gpu:a100:2(S:0)", "gpu:a:b:1", ",", "gpu,"] {
            check(bad, "Invalid");
        }
        assert!(parse_list("nosuch:1", None).is_ok());
    }

    #[test]
    fn gpus() {
        let check = |text: &str, expected: &str| {
            let found = parse_gpus(text).map_or_else(|error| format!("{error:?}"), |list| print(&list));
            assert_eq!(found, expected, "{text:?}");
        };
        check("2", "gres:gpu:2");
        check("v100:2", "gres:gpu:v100:2");
        check("a:1,b:2", "gres:gpu:a:1,gres:gpu:b:2");
        check("abc", "gres:gpu:abc:1");
        check("gpu:1", "gres:gpu:gpu:1");
        check("x:", "Invalid");
        check("", "Invalid");
    }
}
