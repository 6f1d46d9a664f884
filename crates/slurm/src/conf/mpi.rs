//! `mpi.conf`: what a site says of PMIx. Keys are those of Slurm 22.05; those that have no effect here are named.

use super::ConfError;
use super::lines::Line;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MpiSettings {
    /// `PMIxCliTmpDirBase`: where libraries of tasks put their files; `None` leaves it to the node.
    pub client_dir_base: Option<String>,
    /// `PMIxDebug`: the library tells in the log of the node what it does.
    pub debug: bool,
    /// `PMIxEnv`: `NAME=value` for the environment of the library's server.
    pub environment: Vec<String>,
    /// `PMIxTimeout`: seconds after which a fence or a question to another node has failed; `None` for 300.
    pub timeout_seconds: Option<u32>,
}

/// Keys that say how slurmstepd daemons of a step connect with each other, which ours do not.
const OF_CONNECTIONS: [&str; 8] = [
    "PMIxCollFence",
    "PMIxDirectConn",
    "PMIxDirectConnEarly",
    "PMIxDirectConnUCX",
    "PMIxDirectSameArch",
    "PMIxFenceBarrier",
    "PMIxNetDevicesUCX",
    "PMIxTlsUCX",
];

/// Reads the lines of the file.
///
/// # Errors
/// A key that does not exist, a value that is none.
pub(super) fn read(lines: &[Line], warnings: &mut Vec<String>) -> Result<MpiSettings, ConfError> {
    let mut settings = MpiSettings::default();
    for line in lines {
        for (key, value) in &line.pairs {
            let number = || {
                let bad = |_| line.error(format!("{key} value ({value}) is not a valid number"));
                value.parse::<u32>().map_err(bad)
            };
            let known = OF_CONNECTIONS.iter().find(|known| known.eq_ignore_ascii_case(key));
            match (key.to_ascii_lowercase().as_str(), known) {
                ("pmixclitmpdirbase", _) => {
                    settings.client_dir_base = Some(value.clone()).filter(|base| !base.is_empty())
                }
                ("pmixdebug", _) => settings.debug = number()? > 0,
                ("pmixenv", _) => {
                    let pairs = value.split(';').filter(|pair| pair.contains('='));
                    settings.environment = pairs.map(str::to_owned).collect();
                }
                ("pmixtimeout", _) => settings.timeout_seconds = Some(number()?).filter(|seconds| *seconds > 0),
                (_, Some(known)) => warnings.push(format!(
                    "{known} has no effect: servers of a step talk by way of its srun ({} line {})",
                    line.file.display(),
                    line.number
                )),
                _ => return Err(line.error(format!("Parsing error at unrecognized key: {key}"))),
            }
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(MpiSettings, Vec<String>), String> {
        let read_file = |_: &std::path::Path| Ok(text.to_owned());
        let lines = super::super::lines::read("/c/mpi.conf".as_ref(), &read_file).map_err(|error| error.to_string())?;
        let mut warnings = Vec::new();
        let settings = read(&lines, &mut warnings).map_err(|error| error.to_string())?;
        Ok((settings, warnings))
    }

    #[test]
    fn every_key_acts_or_is_named() {
        let (settings, warnings) =
            parse("PMIxEnv=A=1;B=2\nPMIxTimeout=20\npmixdebug=1\nPMIxCliTmpDirBase=/run/pmix\n").unwrap();
        let expected = MpiSettings {
            client_dir_base: Some("/run/pmix".into()),
            debug: true,
            environment: vec!["A=1".into(), "B=2".into()],
            timeout_seconds: Some(20),
        };
        assert_eq!((settings, warnings), (expected, Vec::new()));
        for key in OF_CONNECTIONS {
            let (settings, warnings) = parse(&format!("{key}=true\n")).unwrap();
            assert_eq!(settings, MpiSettings::default());
            let named = format!("{key} has no effect: servers of a step talk by way of its srun (/c/mpi.conf line 1)");
            assert_eq!(warnings, [named]);
        }
        let unknown = "/c/mpi.conf line 1: Parsing error at unrecognized key: PMIxNew";
        assert_eq!(parse("PMIxNew=1\n").unwrap_err(), unknown);
        let bad = "/c/mpi.conf line 1: PMIxTimeout value (soon) is not a valid number";
        assert_eq!(parse("PMIxTimeout=soon\n").unwrap_err(), bad);
    }
}
