//! `oci.conf`: how a site runs bundles of OCI containers (`--container`). Keys of Slurm 22.05 and those that later versions added.

use muster_model::container::OciSettings;

use super::ConfError;
use super::lines::Line;

/// Keys that act here.
const ACTING: &[&str] = &[
    "ContainerPath",
    "CreateEnvFile",
    "DisableCleanup",
    "DisableHooks",
    "EnvExclude",
    "IgnoreFileConfigJson",
    "MountSpoolDir",
    "RunTimeDelete",
    "RunTimeEnvExclude",
    "RunTimeKill",
    "RunTimeRun",
];

/// Keys without effect, and why.
const MOOT: &[(&str, &str)] = &[
    ("DebugFlags", "containers are logged with the rest of the supervisor"),
    ("FileDebug", "containers are logged with the rest of the supervisor"),
    ("RunTimeCreate", "containers are run by RunTimeRun alone"),
    ("RunTimeQuery", "whether a container runs is told by its processes"),
    ("RunTimeStart", "containers are run by RunTimeRun alone"),
    ("SrunArgs", "it is for scrun, which is not there"),
    ("SrunPath", "it is for scrun, which is not there"),
    ("StdIODebug", "containers are logged with the rest of the supervisor"),
    ("SyslogDebug", "containers are logged with the rest of the supervisor"),
];

/// Where the batch script lies in a container, unless the site says otherwise.
const SPOOL_MOUNT: &str = "/tmp/slurm";

/// Reads the lines of the file. What is said but has no effect goes to `warnings`.
///
/// # Errors
/// With file and line: unknown keys and values.
pub(super) fn read(lines: &[Line], warnings: &mut Vec<String>) -> Result<OciSettings, ConfError> {
    for line in lines {
        check_keys(line, warnings)?;
    }
    let find = |key: &str| lines.iter().rev().find_map(|line| line.get(key).map(|value| (line, value)));
    let text = |key: &str| find(key).map(|(_, value)| value.to_owned()).filter(|value| !value.is_empty());
    let is_on = |key: &str| find(key).map_or(Ok(false), |(line, value)| truth(line, key, value));
    let run = text("RunTimeRun");
    if run.is_none() {
        warnings.push("without RunTimeRun in oci.conf no container can be run".to_owned());
    }
    let hooks = text("DisableHooks").unwrap_or_default();
    Ok(OciSettings {
        run,
        kill: text("RunTimeKill"),
        delete: text("RunTimeDelete"),
        container_path: text("ContainerPath"),
        environment_file: find("CreateEnvFile").map_or(Ok(None), |(line, value)| environment_file(line, value))?,
        keep_files: is_on("DisableCleanup")?,
        ignores_description: is_on("IgnoreFileConfigJson")?,
        hooks_disabled: hooks.split(',').map(str::trim).filter(|hook| !hook.is_empty()).map(str::to_owned).collect(),
        excluded: text("EnvExclude"),
        excluded_of_runtime: text("RunTimeEnvExclude"),
        spool_mount: text("MountSpoolDir").unwrap_or_else(|| SPOOL_MOUNT.to_owned()),
    })
}

fn check_keys(line: &Line, warnings: &mut Vec<String>) -> Result<(), ConfError> {
    for (key, _) in &line.pairs {
        if ACTING.iter().any(|name| name.eq_ignore_ascii_case(key)) {
            continue;
        }
        let Some((name, why)) = MOOT.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) else {
            return Err(line.error(format!("unrecognized key: {key}")));
        };
        warnings.push(format!("{name} has no effect: {why} ({} line {})", line.file.display(), line.number));
    }
    Ok(())
}

/// What ends each variable in the file; `None` for no file.
fn environment_file(line: &Line, value: &str) -> Result<Option<char>, ConfError> {
    match value.to_ascii_lowercase().as_str() {
        "disabled" => Ok(None),
        "null" => Ok(Some('\0')),
        "newline" => Ok(Some('\n')),
        // As 22.05 writes it.
        other => truth(line, "CreateEnvFile", other).map(|is_on| is_on.then_some('\n')),
    }
}

fn truth(line: &Line, key: &str, value: &str) -> Result<bool, ConfError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "up" | "1" => Ok(true),
        "false" | "no" | "down" | "0" => Ok(false),
        _ => Err(line.error(format!("\"{value}\" is not a valid option for \"{key}\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read_file = |_: &std::path::Path| Ok(text.to_owned());
        let mut warnings = Vec::new();
        let lines = super::super::lines::read("/c/oci.conf".as_ref(), &read_file).unwrap();
        let shown = match read(&lines, &mut warnings) {
            Ok(settings) => format!("{}{}", serde_json::to_string(&settings).unwrap(), warnings.concat()),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn runtimes_are_read() {
        check(
            "RunTimeRun=\"crun run --bundle %b %j\" # as suggested\nruntimedelete=\"crun delete %j\"\nCreateEnvFile=true\n",
            r#"{"run":"crun run --bundle %b %j","delete":"crun delete %j","environment_file":"\n","spool_mount":"/tmp/slurm"}"#,
        );
        check(
            "MountSpoolDir=/s\nEnvExclude=x\nRunTimeRun=y\nRunTimeQuery=q\nDisableHooks=prestart,poststop\nIgnoreFileConfigJson=yes\n",
            "{\"run\":\"y\",\"ignores_description\":true,\"hooks_disabled\":[\"prestart\",\"poststop\"],\"excluded\":\"x\",\
             \"spool_mount\":\"/s\"}\
             RunTimeQuery has no effect: whether a container runs is told by its processes (/c/oci.conf line 4)",
        );
        check("", "{\"spool_mount\":\"/tmp/slurm\"}without RunTimeRun in oci.conf no container can be run");
        check("RunTimeRum=x\n", "/c/oci.conf line 1: unrecognized key: RunTimeRum");
        check("CreateEnvFile=maybe\n", "/c/oci.conf line 1: \"maybe\" is not a valid option for \"CreateEnvFile\"");
    }
}
