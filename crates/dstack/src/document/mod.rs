//! From text to a tree of values that still knows where each stands in the file, and from the tree to typed values.
//!
//! The typed configuration is not read by derived code: dstack's properties come in several spellings each (`gpu: 1`,
//! `gpu: A100:8`, `gpu: {name: A100}`), and a wrong file must be answered with all its problems, each with its path, its
//! line and, for a misspelt property, the right name.

mod fields;
mod json;
mod node;
mod problem;
mod scalars;
mod similar;
mod yaml;

pub(crate) use fields::{Fields, Read, read_list};
pub(crate) use json::from_json;
pub(crate) use node::{Node, Path, Value};
pub use problem::{Location, Problem, Problems};
pub(crate) use yaml::from_yaml;
