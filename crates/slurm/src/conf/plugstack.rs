//! `plugstack.conf`: the plugins of a site. None is loaded; but what pyxis is told there holds for the containers of this program,
//! which take its place.

use std::path::Path;

use muster_model::container::NameScope;

use super::ConfError;
use super::lines::{Line, ReadFile, logical_lines};

/// The file of pyxis, as its plugin is installed.
const PYXIS: &str = "spank_pyxis.so";

/// What is read where files are included by a pattern: as pyxis is installed.
const PYXIS_FILE: &str = "pyxis.conf";

/// Files that may include each other, at most this deep.
const INCLUDE_DEPTH_MAX: usize = 10;

/// Arguments of pyxis without effect, and why.
const MOOT: [(&str, &str); 5] = [
    ("runtime_path", "containers lie in SlurmdSpoolDir and with their engine"),
    ("sbatch_support", "scripts always can run in containers"),
    ("use_enroot_load", "images come from Docker or Podman"),
    ("importer", "images come from Docker or Podman"),
    ("use_squashfuse", "images come from Docker or Podman"),
];

/// What a site says of containers of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PyxisSettings {
    /// `container_scope`: how long named containers stay.
    pub scope: NameScope,
    /// `execute_entrypoint`: programs are started by the entry point of the image unless the user says otherwise.
    pub entrypoint: bool,
}

/// Reads the file and what it includes. What is said but has no effect goes to `warnings`.
///
/// # Errors
/// With file and line: arguments that pyxis does not know, values that it does not take, files that cannot be read.
pub(super) fn read(
    path: &Path,
    read_file: &ReadFile<'_>,
    warnings: &mut Vec<String>,
) -> Result<PyxisSettings, ConfError> {
    let mut settings = PyxisSettings::default();
    read_into(path, read_file, 0, &mut settings, warnings)?;
    Ok(settings)
}

fn read_into(
    path: &Path,
    read_file: &ReadFile<'_>,
    depth: usize,
    settings: &mut PyxisSettings,
    warnings: &mut Vec<String>,
) -> Result<(), ConfError> {
    let whole = |message: String| ConfError { file: path.to_owned(), line: 0, message };
    if depth > INCLUDE_DEPTH_MAX {
        return Err(whole(format!("files include each other more than {INCLUDE_DEPTH_MAX} deep")));
    }
    let text = read_file(path).map_err(|problem| whole(format!("cannot read it: {problem}")))?;
    for (number, text) in logical_lines(&text) {
        let line = Line { file: path.to_owned(), number, pairs: Vec::new() };
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [word, included] if word.eq_ignore_ascii_case("include") => {
                let target = path.parent().unwrap_or(Path::new("")).join(included);
                if !included.contains(['*', '?', '[']) {
                    read_into(&target, read_file, depth + 1, settings, warnings)?;
                    continue;
                }
                let target = target.with_file_name(PYXIS_FILE);
                match read_file(&target) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    _ => read_into(&target, read_file, depth + 1, settings, warnings)?,
                }
            }
            ["required" | "optional", plugin, arguments @ ..] if file_name(plugin) == PYXIS => {
                arguments.iter().try_for_each(|argument| take(argument, &line, settings, warnings))?;
            }
            ["required" | "optional", plugin, ..] => {
                let place = format!("{} line {number}", path.display());
                warnings.push(format!("{plugin} is not loaded: there are no plugins of Slurm here ({place})"));
            }
            _ => return Err(line.error("a line is: required|optional PLUGIN [ARGUMENT...], or: include FILE")),
        }
    }
    Ok(())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn take(
    argument: &str,
    line: &Line,
    settings: &mut PyxisSettings,
    warnings: &mut Vec<String>,
) -> Result<(), ConfError> {
    let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
    let invalid = || line.error(format!("pyxis: {name}: invalid value: {value}"));
    match name {
        "container_scope" => {
            settings.scope = match value {
                "job" => NameScope::Job,
                "global" => NameScope::Global,
                _ => return Err(invalid()),
            };
        }
        "execute_entrypoint" => {
            settings.entrypoint = match value {
                "1" | "true" | "yes" | "y" => true,
                "0" | "false" | "no" | "n" => false,
                _ => return Err(invalid()),
            };
        }
        _ => {
            let Some((name, why)) = MOOT.iter().find(|(known, _)| *known == name) else {
                return Err(line.error(format!("pyxis: unknown configuration option: {argument}")));
            };
            let place = format!("{} line {}", line.file.display(), line.number);
            warnings.push(format!("{name} of pyxis has no effect: {why} ({place})"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read_file = |path: &Path| match path.to_str() {
            Some("/c/plugstack.conf") => Ok(text.to_owned()),
            Some("/c/d/pyxis.conf") => Ok("required /usr/lib/slurm/spank_pyxis.so container_scope=job".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let mut warnings = Vec::new();
        let shown = match read("/c/plugstack.conf".as_ref(), &read_file, &mut warnings) {
            Ok(settings) => format!("{:?} {}{}", settings.scope, settings.entrypoint, warnings.concat()),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn what_pyxis_is_told_holds() {
        check("", "Global false");
        check("optional spank_pyxis.so execute_entrypoint=yes # so\n", "Global true");
        check("include d/*\n", "Job false");
        check("include /c/d/pyxis.conf\n", "Job false");
        check("include e/*.conf\n", "Global false");
        check(
            "required x.so a b\nrequired spank_pyxis.so importer=/i\n",
            "Global falsex.so is not loaded: there are no plugins of Slurm here (/c/plugstack.conf line 1)importer of pyxis has no \
             effect: images come from Docker or Podman (/c/plugstack.conf line 2)",
        );
        check(
            "required spank_pyxis.so container_scope=step",
            "/c/plugstack.conf line 1: pyxis: container_scope: invalid value: step",
        );
        check("required spank_pyxis.so new=1", "/c/plugstack.conf line 1: pyxis: unknown configuration option: new=1");
        check("x", "/c/plugstack.conf line 1: a line is: required|optional PLUGIN [ARGUMENT...], or: include FILE");
        check("include y", "/c/y: cannot read it: entity not found");
    }
}
