//! Options of `muster apply`.

use std::path::PathBuf;

use clap::Parser;
use muster_dstack::Problems;
use muster_dstack::task::Overrides;
use muster_dstack::values::Env;

/// Apply a configuration: show the plan, ask, run it, and show its output until it is over.
#[derive(Debug, Parser)]
pub(super) struct Options {
    /// Configuration file; - for stdin, which needs -y. Without it .dstack.yml of the current directory.
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Apply also when nothing has changed.
    #[arg(long)]
    pub(super) force: bool,
    /// Leave the run alone once it is submitted.
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Show all properties of the plan.
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Name of the run; a random one where neither this nor the file gives one.
    #[arg(short, long)]
    name: Option<String>,
    /// Environment variable; without a value it is taken from the present environment.
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    env: Vec<String>,
    /// Project of the run.
    #[arg(long, value_name = "NAME")]
    pub(super) project: Option<String>,
    /// Most groups of nodes shown in the plan.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) max_offers: usize,
    /// Profile of profiles.yml whose properties fill what the file leaves open.
    #[arg(long, value_name = "NAME", conflicts_with = "no_profile")]
    profile: Option<String>,
    /// No profile, not even the default one.
    #[arg(long)]
    pub(super) no_profile: bool,
    /// CPUs of each node, as resources.cpu.
    #[arg(long, value_name = "SPEC")]
    cpu: Option<String>,
    /// GPUs of each node, as resources.gpu.
    #[arg(long, value_name = "SPEC")]
    gpu: Option<String>,
    /// Memory of each node, as resources.memory.
    #[arg(long, value_name = "RANGE")]
    memory: Option<String>,
    /// Disk of each node, as resources.disk.
    #[arg(long, value_name = "RANGE")]
    disk: Option<String>,
    /// Longest time it may run.
    #[arg(long, value_name = "DURATION")]
    max_duration: Option<String>,
    /// Highest price of a node in dollars an hour.
    #[arg(long, value_name = "PRICE")]
    max_price: Option<String>,
    /// Fleet (partition) to run on; may be given several times.
    #[arg(long, value_name = "NAME")]
    fleet: Vec<String>,
    /// Provider to use; may be given several times.
    #[arg(short, long, value_name = "NAME")]
    backend: Vec<String>,
    /// Region to use; may be given several times.
    #[arg(short, long, value_name = "NAME")]
    region: Vec<String>,
    /// Kind of instance to use; may be given several times.
    #[arg(long, value_name = "NAME")]
    instance_type: Vec<String>,
    /// Use only nodes that are there.
    #[arg(short = 'R', long)]
    reuse: bool,
    /// How long an idle instance is kept.
    #[arg(long, value_name = "DURATION")]
    idle_duration: Option<String>,
    /// Use interruptible instances only.
    #[arg(long, group = "spotness")]
    spot: bool,
    /// Use no interruptible instances.
    #[arg(long, group = "spotness")]
    on_demand: bool,
    /// Use interruptible instances or others.
    #[arg(long, group = "spotness")]
    spot_auto: bool,
    /// spot, on-demand or auto.
    #[arg(long, value_name = "POLICY", group = "spotness")]
    spot_policy: Option<String>,
    /// Start it again when it could not run.
    #[arg(long, group = "retrying")]
    retry: bool,
    /// Do not start it again.
    #[arg(long, group = "retrying")]
    no_retry: bool,
    /// Start it again for so long.
    #[arg(long, value_name = "DURATION", group = "retrying")]
    retry_duration: Option<String>,
    /// Words that stand in commands as ${{ run.args }}, after --.
    #[arg(last = true, value_name = "RUN_ARGS")]
    run_args: Vec<String>,
}

impl Options {
    /// The named profile.
    pub(super) fn profile(&self) -> Option<String> {
        let from_environment = || std::env::var("DSTACK_PROFILE").ok().filter(|name| !name.is_empty());
        self.profile.clone().or_else(from_environment)
    }

    /// What these options say beside the file.
    pub(super) fn overrides(&self) -> Result<Overrides, Problems> {
        let mut overrides =
            Overrides { name: self.name.clone(), run_args: self.run_args.clone(), ..Overrides::default() };
        for item in &self.env {
            let pair = Env::parse_item(item).map_err(|message| Problems::of("--env", message))?;
            overrides.env.push(pair);
        }
        let single = [
            ("cpu", self.cpu.as_deref()),
            ("gpu", self.gpu.as_deref()),
            ("memory", self.memory.as_deref()),
            ("disk", self.disk.as_deref()),
            ("max_duration", self.max_duration.as_deref()),
            ("max_price", self.max_price.as_deref()),
            ("idle_duration", self.idle_duration.as_deref()),
            ("creation_policy", self.reuse.then_some("reuse")),
            ("spot_policy", self.spotness()),
            ("retry", if self.no_retry { Some("false") } else { self.retry.then_some("true") }),
            ("retry_duration", self.retry_duration.as_deref()),
        ];
        let several = [
            ("fleet", &self.fleet),
            ("backend", &self.backend),
            ("region", &self.region),
            ("instance_type", &self.instance_type),
        ];
        for (property, words) in single {
            words.map_or(Ok(()), |words| overrides.set(property, words))?;
        }
        for (property, list) in several {
            list.iter().try_for_each(|words| overrides.set(property, words))?;
        }
        Ok(overrides)
    }

    fn spotness(&self) -> Option<&str> {
        match (self.spot, self.on_demand, self.spot_auto) {
            (true, _, _) => Some("spot"),
            (_, true, _) => Some("on-demand"),
            (_, _, true) => Some("auto"),
            _ => self.spot_policy.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(args: &[&str]) -> Result<Overrides, String> {
        let args = std::iter::once("apply").chain(args.iter().copied());
        let options = Options::try_parse_from(args).map_err(|error| error.to_string())?;
        options.overrides().map_err(|problems| problems.to_string())
    }

    #[test]
    fn options_become_overrides() {
        let args = [
            "-f", "x.yml", "-y", "-n", "train", "-e", "A=1", "-e", "B", "--gpu", "A100:2", "--fleet", "a", "--fleet",
            "b",
        ];
        let found = overrides(&args).unwrap();
        assert_eq!((found.name.as_deref(), found.env.len()), (Some("train"), 2));
        assert_eq!(found.resources.gpu.unwrap().to_string(), "A100:2");
        assert_eq!(found.profile.fleets.unwrap().len(), 2);
        assert_eq!(overrides(&["--", "--lr", "0.1"]).unwrap().run_args, ["--lr", "0.1"]);
        assert!(overrides(&["--no-retry"]).unwrap().profile.retry.unwrap().terms().is_none());
    }

    #[test]
    fn wrong_words_are_named() {
        assert_eq!(overrides(&["-e", "9=1"]).unwrap_err(), "--env: \"9=1\" is neither NAME=value nor NAME");
        let message = "max_duration: \"soon\" is no duration such as 30s, 5m, 2h, 1d or 1w";
        assert_eq!(overrides(&["--max-duration", "soon"]).unwrap_err(), message);
        assert!(overrides(&["--spot", "--on-demand"]).is_err());
    }
}
