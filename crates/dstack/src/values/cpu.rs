//! CPUs: `8`, `4..8`, `x86:8..`, `arm`, `{arch: arm, count: 4..}`.

use std::fmt;

use serde::Serialize;

use super::range::Range;
use super::words::words;
use crate::document::{Fields, Node, Path, Problems, Read, Value};

words! {
    /// Instruction set of the CPUs.
    Architecture {
        /// 64-bit x86.
        X86 = "x86",
        /// 64-bit ARM.
        Arm = "arm",
    }
}

/// What is asked of a node's CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CpuSpec {
    /// Instruction set; `None` for any.
    pub arch: Option<Architecture>,
    /// How many; 2 or more where nothing is said.
    pub count: Range<u32>,
}

/// How many CPUs are asked for where nothing is said.
pub(crate) const CPU_COUNT_DEFAULT: u32 = 2;

impl Default for CpuSpec {
    fn default() -> Self {
        CpuSpec { arch: None, count: Range::at_least(CPU_COUNT_DEFAULT) }
    }
}

impl CpuSpec {
    fn parse(text: &str) -> Result<CpuSpec, String> {
        let (mut arch, mut count) = (None, None);
        for token in text.replace(' ', "").split(':') {
            if token.is_empty() {
                return Err(format!("{text:?} has an empty part"));
            }
            let is_count = token.contains("..") || token.bytes().all(|byte| byte.is_ascii_digit());
            let doubled = if is_count {
                count.replace(token.parse()?).is_some()
            } else {
                let known = Architecture::from_word(&token.to_ascii_lowercase());
                let found =
                    known.ok_or_else(|| format!("{token:?} is neither a number of CPUs nor one of x86, arm"))?;
                arch.replace(found).is_some()
            };
            if doubled {
                return Err(format!("{text:?} says the same thing twice"));
            }
        }
        Ok(CpuSpec { arch, count: count.unwrap_or(CpuSpec::default().count) })
    }
}

impl Read for CpuSpec {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        if let Value::Map(entries) = &node.value {
            let is_range =
                !entries.is_empty() && entries.iter().all(|entry| matches!(entry.key.as_str(), "min" | "max"));
            if is_range {
                return Range::read(node, path).map(|count| CpuSpec { arch: None, count });
            }
            let mut fields = Fields::open(node, path)?;
            let arch = fields.optional("arch");
            let count = fields.or("count", CpuSpec::default().count);
            return fields.finish(Some(CpuSpec { arch, count }));
        }
        let text =
            node.scalar_text().ok_or_else(|| node.unexpected(path, "a number of CPUs such as 8, 4..8 or x86:8.."))?;
        CpuSpec::parse(&text).map_err(|message| node.problem(path, message))
    }
}

/// Prints `4..`, `x86:8`.
impl fmt::Display for CpuSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(arch) = self.arch {
            write!(f, "{arch}:")?;
        }
        self.count.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_read_and_print() {
        let check = |text: &str, expected: &str| {
            let shown = CpuSpec::parse(text).map_or_else(|error| error, |spec| spec.to_string());
            assert_eq!(shown, expected, "{text:?}");
        };
        check("8", "8");
        check("4..8", "4..8");
        check("x86:8..", "x86:8..");
        check("ARM", "arm:2..");
        check("8:arm", "arm:8");
        check("8:8", "\"8:8\" says the same thing twice");
        check("arm:", "\"arm:\" has an empty part");
        check("mips:2", "\"mips\" is neither a number of CPUs nor one of x86, arm");
    }
}
