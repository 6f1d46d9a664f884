//! `--distribution`: how tasks are dealt to nodes, sockets and cores.

use muster_model::step::Distribution as Dealing;

use super::numbers;

/// A distribution as written and understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Over nodes.
    pub nodes: Nodes,
    /// The text in Slurm's normal form, as `SLURM_DISTRIBUTION` holds it.
    pub text: String,
    /// Whether more than the nodes is said: sockets, cores, pack.
    pub has_lower_levels: bool,
}

/// The level of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// Fill a node before the next.
    Block,
    /// Round the nodes.
    Cyclic,
    /// Blocks of this many tasks round the nodes.
    Plane(u32),
    /// In the order of the node list.
    Arbitrary,
}

impl Nodes {
    /// How a step deals its tasks, unless a list says where each goes.
    pub fn dealing(self) -> Dealing {
        match self {
            Nodes::Block | Nodes::Arbitrary => Dealing::Block,
            Nodes::Cyclic => Dealing::Cyclic,
            Nodes::Plane(size) => Dealing::Plane(size),
        }
    }
}

/// Why a text is no distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistributionError {
    /// `plane` without a size.
    NoPlaneSize,
    /// Anything else.
    Malformed,
}

/// Reads `block`, `cyclic`, `plane=N`, `arbitrary`, `*`, with `:cyclic:fcyclic` levels and `,Pack` or `,NoPack`.
///
/// # Errors
/// As [`DistributionError`] says.
pub fn parse(text: &str) -> Result<Distribution, DistributionError> {
    let lower = text.to_ascii_lowercase();
    let (levels, pack) = match lower.split_once(',') {
        Some((levels, pack @ ("pack" | "nopack"))) => (levels, Some(pack)),
        Some(_) => return Err(DistributionError::Malformed),
        None if matches!(lower.as_str(), "pack" | "nopack") => {
            return Ok(Distribution { nodes: Nodes::Block, text: lower, has_lower_levels: true });
        }
        None => (lower.as_str(), None),
    };
    let mut levels = levels.split(':');
    let first = levels.next().unwrap_or_default();
    let mut lower_levels = Vec::new();
    for level in levels {
        // Threads are dealt out as sockets are, unless something else is said.
        let usual = lower_levels.first().copied().unwrap_or("cyclic");
        lower_levels.push(match level {
            "block" | "cyclic" | "fcyclic" => level,
            "*" => usual,
            _ => return Err(DistributionError::Malformed),
        });
    }
    let nodes = match first {
        "block" | "*" => Nodes::Block,
        "cyclic" => Nodes::Cyclic,
        "arbitrary" => Nodes::Arbitrary,
        "plane" => return Err(DistributionError::NoPlaneSize),
        other => {
            let size = other.strip_prefix("plane=").ok_or(DistributionError::Malformed)?;
            Nodes::Plane(numbers::positive(size).ok_or(DistributionError::NoPlaneSize)?)
        }
    };
    if lower_levels.len() > 2 || (!lower_levels.is_empty() && matches!(nodes, Nodes::Plane(_) | Nodes::Arbitrary)) {
        return Err(DistributionError::Malformed);
    }
    let mut text = match nodes {
        Nodes::Block => "block".to_owned(),
        Nodes::Cyclic => "cyclic".to_owned(),
        Nodes::Arbitrary => "arbitrary".to_owned(),
        Nodes::Plane(size) => format!("plane={size}"),
    };
    for level in &lower_levels {
        text.push(':');
        text.push_str(level);
    }
    if let Some(pack) = pack {
        text.push(',');
        text.push_str(pack);
    }
    Ok(Distribution { nodes, text, has_lower_levels: !lower_levels.is_empty() || pack.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions() {
        let check = |text: &str, expected: &str| {
            let found = parse(text).map_or_else(|error| format!("{error:?}"), |distribution| distribution.text);
            assert_eq!(found, expected, "{text:?}");
        };
        check("block:cyclic", "block:cyclic");
        check("Cyclic", "cyclic");
        check("plane=4", "plane=4");
        check("block:*:fcyclic,pack", "block:cyclic:fcyclic,pack");
        check("*:block:*", "block:block:block");
        check("*:*:*", "block:cyclic:cyclic");
        check("NoPack", "nopack");
        check("arbitrary", "arbitrary");
        check("plane", "NoPlaneSize");
        for bad in ["bad", "", "block:", "block:bad", "block,x", "a:b:c:d", "block:block:block:block"] {
            check(bad, "Malformed");
        }
    }
}
