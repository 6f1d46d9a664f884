//! `sbcast`: what its command line and environment ask for. Opening the file and sending it is the business of the
//! command line crate.

use muster_model::ids::{JobId, StepId};

use super::VERSION_LINE;
use super::context::{Environment, Outcome};
use super::getopt::{self, Item, Opt, Value, opt};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Compress,
    Exclude,
    Force,
    Fanout,
    Job,
    Preserve,
    SendLibs,
    Size,
    Timeout,
    Verbose,
    Version,
    Help,
    Usage,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::Compress, 'C', "compress", Value::Optional),
    opt(Key::Exclude, '\0', "exclude", Value::Needed),
    opt(Key::Force, 'f', "force", Value::None),
    opt(Key::Fanout, 'F', "fanout", Value::Needed),
    opt(Key::Job, 'j', "jobid", Value::Needed),
    opt(Key::Preserve, 'p', "preserve", Value::None),
    opt(Key::SendLibs, '\0', "send-libs", Value::Optional),
    opt(Key::Size, 's', "size", Value::Needed),
    opt(Key::Timeout, 't', "timeout", Value::Needed),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
    opt(Key::Help, '\0', "help", Value::None),
    opt(Key::Usage, '\0', "usage", Value::None),
];

/// Variables of the environment that stand for options, which win over them.
const VARIABLES: &[(&str, Key)] = &[
    ("SBCAST_COMPRESS", Key::Compress),
    ("SBCAST_EXCLUDE", Key::Exclude),
    ("SBCAST_FANOUT", Key::Fanout),
    ("SBCAST_FORCE", Key::Force),
    ("SBCAST_PRESERVE", Key::Preserve),
    ("SBCAST_SEND_LIBS", Key::SendLibs),
    ("SBCAST_SIZE", Key::Size),
    ("SBCAST_TIMEOUT", Key::Timeout),
    ("SLURM_JOB_ID", Key::Job),
];

const HELP: &str = include_str!("help.txt");
const USAGE: &str = "Usage: sbcast [--exclude] [-CfFjpvV] [--send-libs] SOURCE DEST\n";

/// Bytes read at a time without `--size`, as real sbcast does it.
const BLOCK_BYTES: u64 = 8 << 20;

/// Most bytes read at a time: each node that is served has one block in memory.
const BLOCK_BYTES_MAX: u64 = 64 << 20;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbcast {
    /// The file to send.
    pub source: String,
    /// Where it is put, as written.
    pub destination: String,
    /// The job.
    pub job_id: JobId,
    /// Only the nodes of this step.
    pub step: Option<StepId>,
    /// `--force`.
    pub force: bool,
    /// `--preserve`.
    pub preserve: bool,
    /// `--fanout`: nodes served at a time; 0 for all.
    pub fanout: usize,
    /// `--size`: bytes read at a time.
    pub block_bytes: u64,
    /// `--timeout`: seconds that a node may make no progress; 0 where none are given.
    pub timeout_seconds: u64,
    /// How often `-v` was given.
    pub verbose: u32,
    /// What to say on standard error first.
    pub notices: String,
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    force: bool,
    preserve: bool,
    compress: bool,
    send_libs: bool,
    exclude: Option<String>,
    fanout: usize,
    block_bytes: Option<u64>,
    timeout_seconds: u64,
    verbose: u32,
    job: Option<String>,
    notices: String,
}

impl Sbcast {
    /// Reads `args` and the environment.
    ///
    /// # Errors
    /// What to print instead, where nothing is to be sent.
    pub fn new(args: &[String], environment: &Environment) -> Result<Sbcast, Outcome> {
        let mut reading = Reading::default();
        for (name, key) in VARIABLES {
            if let Some(value) = environment.get(*name) {
                reading.take(*key, value.clone())?;
            }
        }
        let parsed = getopt::parse(args, OPTIONS);
        for item in parsed.items {
            match item {
                Item::Error(text) => return Err(try_help(&format!("sbcast: {text}\n"))),
                Item::Option(key, value) => reading.take(key, value.unwrap_or_default())?,
            }
        }
        let [source, destination] = parsed.rest.as_slice() else {
            let count = parsed.rest.len();
            return Err(try_help(&format!("{}Need two file names, have {count} names\n", reading.notices)));
        };
        reading.finish(source, destination)
    }

    /// `12`, `12.0`: the job or step as messages name it.
    pub fn target(&self) -> String {
        self.step.map_or_else(|| self.job_id.to_string(), |step| format!("{}.{step}", self.job_id))
    }

    /// What `-v` tells before anything is done.
    pub fn dump(&self) -> String {
        let line = "-----------------------------\n";
        format!(
            "{line}block_size = {}\ncompress   = 0\nexclude    = (null)\nforce      = {}\nfanout     = {}\npreserve   = {}\n\
             send_libs  = false\ntimeout    = {}\nverbose    = {}\nsource     = {}\ndest       = {}\n{line}",
            self.block_bytes,
            self.force,
            self.fanout,
            self.preserve,
            self.timeout_seconds,
            self.verbose,
            self.source,
            self.destination
        )
    }

    /// What is said where the job cannot be had, for this reason.
    pub fn lookup_error(&self, reason: &str) -> Outcome {
        Outcome::failure(format!("sbcast: error: Slurm job {} lookup error: {reason}\n", self.target()), 255)
    }
}

impl Reading {
    fn take(&mut self, key: Key, value: String) -> Result<(), Outcome> {
        match key {
            Key::Compress => match value.as_str() {
                "none" => self.compress = false,
                "" | "lz4" | "zlib" => self.compress = true,
                other => self.notices.push_str(&format!(
                    "sbcast: error: Compression type '{other}' unknown, disabling compression support.\n"
                )),
            },
            Key::Exclude => self.exclude = Some(value),
            Key::Force => self.force = true,
            Key::Fanout => self.fanout = leading_number(&value) as usize,
            Key::Job => self.job = Some(value),
            Key::Preserve => self.preserve = true,
            Key::SendLibs => self.send_libs = !value.eq_ignore_ascii_case("no"),
            Key::Size => match size(&value) {
                Some(bytes) => self.block_bytes = Some(bytes),
                None => self.notices.push_str("size specification is invalid, ignored\n"),
            },
            Key::Timeout => self.timeout_seconds = leading_number(&value),
            Key::Verbose => self.verbose += 1,
            Key::Version => return Err(Outcome::success(VERSION_LINE)),
            Key::Help => return Err(Outcome::success(HELP)),
            Key::Usage => return Err(Outcome::success(USAGE)),
        }
        Ok(())
    }

    fn finish(mut self, source: &str, destination: &str) -> Result<Sbcast, Outcome> {
        let fail =
            |reading: &Reading, text: &str| Outcome::failure(format!("{}sbcast: error: {text}\n", reading.notices), 1);
        let Some(job) = self.job.take() else {
            let text = "Need a job id to run this command.  Run from within a Slurm job or use the --jobid option.";
            return Err(fail(&self, text));
        };
        if destination.is_empty() || destination.ends_with('/') {
            return Err(fail(&self, "Target filename cannot be a directory."));
        }
        if self.compress {
            self.notices.push_str("sbcast: warning: --compress is not supported: the file is sent as it is\n");
        }
        if self.send_libs {
            self.notices.push_str("sbcast: warning: --send-libs is not supported: only the file itself is sent\n");
        } else if self.exclude.is_some() {
            self.notices.push_str("sbcast: warning: --exclude has no effect without --send-libs\n");
        }
        let (job_id, step) = job_and_step(&job);
        Ok(Sbcast {
            source: source.to_owned(),
            destination: destination.to_owned(),
            job_id,
            step,
            force: self.force,
            preserve: self.preserve,
            fanout: self.fanout,
            block_bytes: self.block_bytes.unwrap_or(BLOCK_BYTES).clamp(1, BLOCK_BYTES_MAX),
            timeout_seconds: self.timeout_seconds,
            verbose: self.verbose,
            notices: self.notices,
        })
    }
}

fn try_help(text: &str) -> Outcome {
    Outcome::failure(format!("{text}Try \"sbcast --help\" for more information\n"), 1)
}

/// As C's `atoi`: what begins `text`, 0 without a number.
fn leading_number(text: &str) -> u64 {
    let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Bytes, with `k` or `m` behind.
fn size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1 << 10),
        (at, 'm' | 'M') => (&text[..at], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// `12`, `12+1`, `12.0`, `12.batch`. What follows a number is passed over, and what is none means job 0, as in Slurm.
fn job_and_step(text: &str) -> (JobId, Option<StepId>) {
    let (job, step) = text.split_once('.').map_or((text, None), |(job, step)| (job, Some(step)));
    let (leader, offset) = job.split_once('+').unwrap_or((job, ""));
    let number = leading_number(leader).saturating_add(leading_number(offset));
    let step = step.map(|step| match step.parse() {
        Ok(step) => step,
        Err(_) => StepId::Number(u32::try_from(leading_number(step)).unwrap_or(0)),
    });
    (JobId(u32::try_from(number).unwrap_or(0)), step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, variables: &[(&str, &str)]) -> Result<Sbcast, Outcome> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sbcast::new(&args, &environment)
    }

    fn check_refused(line: &str, stderr: &str, code: u8) {
        let outcome = read(line, &[]).unwrap_err();
        assert_eq!((outcome.stderr.as_str(), outcome.code), (stderr, code), "{line}");
    }

    #[test]
    fn what_real_sbcast_refuses() {
        let help = "Try \"sbcast --help\" for more information\n";
        check_refused("", &format!("Need two file names, have 0 names\n{help}"), 1);
        check_refused("-j 1 a b c", &format!("Need two file names, have 3 names\n{help}"), 1);
        let no_job = "sbcast: error: Need a job id to run this command.  Run from within a Slurm job or use the --jobid option.\n";
        check_refused("a b", no_job, 1);
        check_refused("-s 12x a b", &format!("size specification is invalid, ignored\n{no_job}"), 1);
        let unknown = "sbcast: error: Compression type 'zz' unknown, disabling compression support.\n";
        check_refused("--compress=zz a b", &format!("{unknown}{no_job}"), 1);
        check_refused("-j 1 a /tmp/", "sbcast: error: Target filename cannot be a directory.\n", 1);
        check_refused("-Z", &format!("sbcast: invalid option -- 'Z'\n{help}"), 1);
    }

    #[test]
    fn options_win_over_the_environment() {
        let environment = [("SLURM_JOB_ID", "7"), ("SBCAST_SIZE", "1k"), ("SBCAST_FORCE", ""), ("SBCAST_FANOUT", "3")];
        let plain = read("a /b", &environment).unwrap();
        assert_eq!((plain.target(), plain.block_bytes, plain.force, plain.fanout), ("7".to_owned(), 1024, true, 3));
        let given = read("-j 12+1.0 -s 2m -F4 -t 9 -pvv a /b", &environment).unwrap();
        assert_eq!((given.target(), given.block_bytes, given.fanout), ("13.0".to_owned(), 2 << 20, 4));
        assert_eq!((given.timeout_seconds, given.preserve, given.verbose), (9, true, 2));
        assert_eq!(read("-j 9.1x a b", &[]).unwrap().target(), "9.1");
        assert_eq!(read("-j 9.batch a b", &[]).unwrap().target(), "9.batch");
        let nobody = read("-j abc a b", &[]).unwrap().lookup_error("Invalid job id specified");
        assert_eq!(nobody.stderr, "sbcast: error: Slurm job 0 lookup error: Invalid job id specified\n");
    }

    #[test]
    fn what_is_not_done_is_said() {
        let notices = |line: &str| read(line, &[]).unwrap().notices;
        assert!(notices("-j1 -C a b").contains("--compress is not supported"));
        assert!(notices("-j1 --send-libs a b").contains("--send-libs is not supported"));
        assert!(notices("-j1 --exclude=/lib a b").contains("--exclude has no effect"));
        assert_eq!(notices("-j1 --compress=none --send-libs=no a b"), "");
    }
}
