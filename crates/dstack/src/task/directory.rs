//! Where the commands of a task start.
//!
//! In a container everything begins in an empty place into which repositories and files are put. A process begins in a
//! directory that is the same on all nodes, so the one is chosen in which the files of the configuration are.

use super::Applicant;
use crate::configuration::Task;
use crate::values::RepoSource;

/// The directory, absolute.
///
/// # Errors
/// The property and what is wrong with it, for the user.
pub(super) fn directory(task: &Task, applicant: &Applicant<'_>) -> Result<String, (&'static str, String)> {
    if let Some(directory) = &task.base.working_dir {
        if !directory.starts_with('/') {
            return Err(("working_dir", format!("{directory:?} must be an absolute path")));
        }
        if task.base.image.is_none() {
            return Ok(normal(directory));
        }
    }
    if task.base.image.is_some() {
        // Where the task starts is said with its container.
        return Ok("/".to_owned());
    }
    let local_repository = task.base.repos.iter().find_map(|repo| match &repo.source {
        RepoSource::LocalPath(path) => Some(path),
        RepoSource::Url(_) => None,
    });
    if let Some(path) = local_repository {
        return resolve(path, applicant).ok_or_else(|| ("repos", format!("{path:?}: there is no home directory")));
    }
    let from_file = !task.base.files.is_empty();
    Ok(normal(if from_file { applicant.configuration_dir } else { applicant.current_dir }))
}

/// A path of the configuration as an absolute one; `None` when it begins with `~` and nobody knows the home.
pub(super) fn resolve(path: &str, applicant: &Applicant<'_>) -> Option<String> {
    if path == "~" || path.starts_with("~/") {
        let home = applicant.environment.get("HOME").filter(|home| home.starts_with('/'))?;
        return Some(normal(&format!("{home}{}", path.strip_prefix('~').unwrap_or_default())));
    }
    Some(match path.starts_with('/') {
        true => normal(path),
        false => normal(&format!("{}/{path}", applicant.configuration_dir)),
    })
}

/// An absolute path without `.`, `..` and doubled slashes, by its text alone.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_normal() {
        assert_eq!(normal("/a/./b//../c/"), "/a/c");
        assert_eq!(normal("/../x"), "/x");
        assert_eq!(normal("/"), "/");
    }
}
