//! GPUs: `1`, `24GB`, `A100:80GB:2..8`, `nvidia:1..8`, `{name: [A100, H100], count: 2, memory: 40GB..}`.
//!
//! In the short form the parts stand in any order and tell themselves apart: a vendor is a known word, a name begins
//! with a letter, a memory has a unit, and the rest is a count.

use std::fmt;

use serde::{Serialize, Serializer};

use super::memory::Memory;
use super::range::Range;
use super::words::words;
use crate::document::{Fields, Node, Path, Problems, Read, Value};

words! {
    /// Maker of an accelerator.
    Vendor {
        /// NVIDIA.
        Nvidia = "nvidia",
        /// AMD.
        Amd = "amd",
        /// Google; also written `tpu`.
        Google = "google",
        /// Intel.
        Intel = "intel",
        /// Tenstorrent; also written `tt`.
        Tenstorrent = "tenstorrent",
    }
}

impl Vendor {
    fn parse(word: &str) -> Option<Vendor> {
        match word.to_ascii_lowercase().as_str() {
            "tpu" => Some(Vendor::Google),
            "tt" => Some(Vendor::Tenstorrent),
            word => Vendor::from_word(word),
        }
    }
}

/// Least compute capability, such as 7.5. In JSON a list of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComputeCapability {
    /// Before the dot.
    pub major: u32,
    /// After the dot.
    pub minor: u32,
}

/// What is asked of a node's GPUs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GpuSpec {
    /// Maker; `None` for any.
    pub vendor: Option<Vendor>,
    /// Models, any of which will do; `None` for all.
    pub name: Option<Vec<String>>,
    /// How many on each node.
    pub count: Range<u32>,
    /// Memory of each.
    pub memory: Option<Range<Memory>>,
    /// Memory of all of a node together.
    pub total_memory: Option<Range<Memory>>,
    /// Least compute capability.
    pub compute_capability: Option<ComputeCapability>,
}

/// Any number of GPUs, also none: what a configuration without `gpu` asks for.
impl Default for GpuSpec {
    fn default() -> Self {
        GpuSpec { count: Range::at_least(0), ..GpuSpec::one_or_more() }
    }
}

impl GpuSpec {
    fn one_or_more() -> GpuSpec {
        GpuSpec {
            vendor: None,
            name: None,
            count: Range::at_least(1),
            memory: None,
            total_memory: None,
            compute_capability: None,
        }
    }

    fn parse(text: &str) -> Result<GpuSpec, String> {
        let mut spec = GpuSpec::one_or_more();
        let mut count = None;
        for token in text.replace(' ', "").split(':') {
            let doubled = if token.is_empty() {
                return Err(format!("{text:?} has an empty part"));
            } else if let Some(vendor) = Vendor::parse(token) {
                spec.vendor.replace(vendor).is_some()
            } else if token.starts_with(char::is_alphabetic) {
                let names: Vec<&str> = token.split(',').collect();
                if names.iter().any(|name| name.is_empty()) {
                    return Err(format!("{text:?} has an empty name"));
                }
                spec.name.replace(names.into_iter().map(model_name).collect()).is_some()
            } else if token.contains(char::is_alphabetic) {
                spec.memory.replace(token.parse()?).is_some()
            } else {
                count.replace(token.parse()?).is_some()
            };
            if doubled {
                return Err(format!("{text:?} says the same thing twice"));
            }
        }
        spec.count = count.unwrap_or(spec.count);
        Ok(spec)
    }

    fn read_map(node: &Node, path: &Path<'_>) -> Result<GpuSpec, Problems> {
        let mut fields = Fields::open(node, path)?;
        let vendor = fields.node("vendor").map(|vendor| read_vendor(vendor, &Path::Property(path, "vendor")));
        let name = fields.node("name").map(|name| read_names(name, &Path::Property(path, "name")));
        let spec = GpuSpec {
            vendor: vendor.and_then(|vendor| fields.take(vendor)),
            name: name.and_then(|name| fields.take(name)),
            count: fields.or("count", Range::at_least(1)),
            memory: fields.optional("memory"),
            total_memory: fields.optional("total_memory"),
            compute_capability: fields.optional("compute_capability"),
        };
        fields.finish(Some(spec))
    }
}

/// A model's name without the old mark of TPUs.
fn model_name(name: &str) -> String {
    name.strip_prefix("tpu-").unwrap_or(name).to_owned()
}

fn read_vendor(node: &Node, path: &Path<'_>) -> Result<Vendor, Problems> {
    let text = node.scalar_text().ok_or_else(|| node.unexpected(path, "a vendor"))?;
    Vendor::parse(&text)
        .ok_or_else(|| node.problem(path, format!("{text:?} is none of nvidia, amd, google, intel, tenstorrent")))
}

fn read_names(node: &Node, path: &Path<'_>) -> Result<Vec<String>, Problems> {
    let names = match node.value {
        Value::List(_) => Vec::<String>::read(node, path)?,
        _ => vec![String::read(node, path)?],
    };
    Ok(names.iter().map(|name| model_name(name)).collect())
}

impl Read for GpuSpec {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        if matches!(node.value, Value::Map(_)) {
            return GpuSpec::read_map(node, path);
        }
        let text = node.scalar_text().ok_or_else(|| node.unexpected(path, "GPUs such as 1, 24GB or A100:80GB:8"))?;
        GpuSpec::parse(&text).map_err(|message| node.problem(path, message))
    }
}

/// Prints `A100:80GB:8`, `nvidia:1..8`, `24GB:1..`, `0..`.
impl fmt::Display for GpuSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.vendor) {
            (Some(names), _) if !names.is_empty() => write!(f, "{}:", names.join(","))?,
            (_, Some(vendor)) => write!(f, "{vendor}:")?,
            _ => {}
        }
        if let Some(memory) = &self.memory {
            write!(f, "{memory}:")?;
        }
        self.count.fmt(f)?;
        if let Some(total) = &self.total_memory {
            write!(f, ":{total}")?;
        }
        self.compute_capability.map_or(Ok(()), |least| write!(f, ":{}.{}", least.major, least.minor))
    }
}

impl Read for ComputeCapability {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let parts: Option<Vec<u32>> = match &node.value {
            Value::List(items) => items.iter().map(|item| u32::read(item, path).ok()).collect(),
            _ => node.scalar_text().and_then(|text| text.trim().split('.').map(|part| part.parse().ok()).collect()),
        };
        match parts.as_deref() {
            Some(&[major, minor]) => Ok(ComputeCapability { major, minor }),
            _ => Err(node.problem(path, "expected a compute capability such as 7.5")),
        }
    }
}

impl Serialize for ComputeCapability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.major, self.minor].serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_read_and_print() {
        let check = |text: &str, expected: &str| {
            let shown = GpuSpec::parse(text).map_or_else(|error| error, |spec| spec.to_string());
            assert_eq!(shown, expected, "{text:?}");
        };
        check("1", "1");
        check("24GB", "24GB:1..");
        check("A100:80GB:8", "A100:80GB:8");
        check("8:80GB:A100", "A100:80GB:8");
        check("A100,H100:2..8", "A100,H100:2..8");
        check("nvidia:1..8", "nvidia:1..8");
        check("amd:MI300X", "MI300X:1..");
        check("40GB..80GB:1..8", "40GB..80GB:1..8");
        check("tpu-v5litepod-8", "v5litepod-8:1..");
        check("tpu:v2-8", "v2-8:1..");
        check("A100:H100", "\"A100:H100\" says the same thing twice");
        check("A100:", "\"A100:\" has an empty part");
        check("A100,:2", "\"A100,:2\" has an empty name");
        check("24XB", "\"24XB\" is no size such as 512MB, 16GB or 1TB");
        check("8..2", "the range 8..2 is reversed");
    }
}
