//! Files and repositories of the user: `SRC[:DST]`, `URL[:DST]`, or objects.

use serde::Serialize;

use super::words::words;
use crate::document::{Fields, Node, Path, Problems, Read, Value};

/// A file or directory of the user's machine and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileMapping {
    /// On the user's machine; relative to the directory of the configuration file.
    pub local_path: String,
    /// In the run; relative to the working directory.
    pub path: String,
}

impl FileMapping {
    fn parse(text: &str) -> Option<FileMapping> {
        let parts = split_path(text);
        let (local_path, path) = match parts.as_slice() {
            [both] => (both, both),
            [local_path, path] => (local_path, path),
            _ => return None,
        };
        let usable = !local_path.is_empty() && !path.is_empty();
        usable.then(|| FileMapping { local_path: local_path.clone(), path: path.clone() })
    }
}

/// Splits at colons, but not behind the drive letter of a Windows path.
fn split_path(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = text.split(':').map(str::to_owned).collect();
    let is_drive = parts.len() > 1
        && parts[0].len() == 1
        && parts[0].starts_with(|c: char| c.is_ascii_alphabetic())
        && parts[1].starts_with(['\\', '/']);
    if is_drive {
        let rest = parts.remove(1);
        parts[0] = format!("{}:{rest}", parts[0]);
    }
    parts
}

impl Read for FileMapping {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mapping = match &node.value {
            Value::Map(_) => {
                let mut fields = Fields::open(node, path)?;
                let pair = fields.required("local_path").zip(fields.required("path"));
                fields.finish(pair.map(|(local_path, path)| FileMapping { local_path, path }))?
            }
            _ => {
                let text = String::read(node, path)?;
                FileMapping::parse(&text)
                    .ok_or_else(|| node.problem(path, format!("{text:?} is neither SOURCE nor SOURCE:TARGET")))?
            }
        };
        if split_path(&mapping.path)[0].contains(':') {
            return Err(node.problem(path, "the target must be a Unix path"));
        }
        Ok(mapping)
    }
}

words! {
    /// What to do when the place of a repository is not empty.
    IfExists {
        /// End the run.
        Error = "error",
        /// Leave it as it is.
        Skip = "skip",
    }
}

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepoSource {
    /// On the user's machine; relative to the directory of the configuration file.
    LocalPath(String),
    /// On a server.
    Url(String),
}

/// A Git repository to be put into the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepoSpec {
    /// Where it is.
    #[serde(flatten)]
    pub source: RepoSource,
    /// Branch; `None` for the present or the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Where it goes; relative to the working directory.
    pub path: String,
    /// What to do when that place is not empty.
    pub if_exists: IfExists,
}

impl RepoSpec {
    fn parse(text: &str) -> Option<RepoSpec> {
        let mut parts: Vec<String> = split_path(text);
        // `https://host/repo` and `git@host:repo` have a colon of their own.
        let is_url = parts.len() > 1 && (parts[0].contains('@') || parts[1].starts_with("//"));
        if is_url {
            let rest = parts.remove(1);
            parts[0] = format!("{}:{rest}", parts[0]);
        }
        let (source, path) = match parts.as_slice() {
            [source] => (source, "."),
            [source, path] => (source, path.as_str()),
            _ => return None,
        };
        let source = source.clone();
        Some(RepoSpec {
            source: if is_url { RepoSource::Url(source) } else { RepoSource::LocalPath(source) },
            branch: None,
            hash: None,
            path: path.to_owned(),
            if_exists: IfExists::Error,
        })
    }

    fn read_map(node: &Node, path: &Path<'_>) -> Result<RepoSpec, Problems> {
        let mut fields = Fields::open(node, path)?;
        let (local, url): (Option<String>, Option<String>) = (fields.optional("local_path"), fields.optional("url"));
        let source = match (local, url) {
            (Some(local), None) => Some(RepoSource::LocalPath(local)),
            (None, Some(url)) => Some(RepoSource::Url(url)),
            (Some(_), Some(_)) => {
                fields.problem_here("local_path and url exclude each other");
                None
            }
            (None, None) => {
                fields.problem_here("either local_path or url is needed");
                None
            }
        };
        let (branch, hash) = (fields.optional("branch"), fields.optional("hash"));
        let target = fields.or("path", ".".to_owned());
        let if_exists = fields.or("if_exists", IfExists::Error);
        fields.finish(source.map(|source| RepoSpec { source, branch, hash, path: target, if_exists }))
    }
}

impl Read for RepoSpec {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let repo = match &node.value {
            Value::Map(_) => RepoSpec::read_map(node, path)?,
            _ => {
                let text = String::read(node, path)?;
                RepoSpec::parse(&text)
                    .filter(|_| !text.is_empty())
                    .ok_or_else(|| node.problem(path, format!("{text:?} is neither PATH[:TARGET] nor URL[:TARGET]")))?
            }
        };
        if repo.path.starts_with('~') && repo.path != "~" && !repo.path.starts_with("~/") {
            return Err(node.problem(path, "~username is not understood"));
        }
        Ok(repo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_source_and_target() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let found = FileMapping::parse(text);
            let found = found.as_ref().map(|mapping| (mapping.local_path.as_str(), mapping.path.as_str()));
            assert_eq!(found, expected, "{text:?}");
        };
        check("train.py", Some(("train.py", "train.py")));
        check(".:examples", Some((".", "examples")));
        check("~/.ssh/id_rsa:/root/.ssh/id_rsa", Some(("~/.ssh/id_rsa", "/root/.ssh/id_rsa")));
        check(r"C:\data:/data", Some((r"C:\data", "/data")));
        check("a:b:c", None);
        check("a:", None);
    }

    #[test]
    fn repositories_are_paths_or_addresses() {
        let check = |text: &str, expected: (RepoSource, &str)| {
            let repo = RepoSpec::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((repo.source, repo.path.as_str()), expected, "{text}");
        };
        let local = |path: &str| RepoSource::LocalPath(path.to_owned());
        let url = |url: &str| RepoSource::Url(url.to_owned());
        check(".", (local("."), "."));
        check("..:/my-repo", (local(".."), "/my-repo"));
        check("https://example.org/a/b", (url("https://example.org/a/b"), "."));
        check("https://example.org/a/b:/work", (url("https://example.org/a/b"), "/work"));
        check("git@example.org:a/b.git:dir", (url("git@example.org:a/b.git"), "dir"));
        assert_eq!(RepoSpec::parse("a:b:c"), None);
    }
}
