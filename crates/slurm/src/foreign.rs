//! `#PBS` and `#BSUB` lines of a batch script as options of `sbatch`.
//!
//! Scripts that were written for another batch system can be submitted as they are. Only what has a counterpart is
//! taken over; options that say where or how the other system works (its shell, its checkpoints) mean nothing here.
//! What should act and does not is told to the user, unlike with real `sbatch`, which passes over it in silence.

/// Another batch system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Portable Batch System and its kin.
    Pbs,
    /// Platform LSF.
    Lsf,
}

impl Dialect {
    /// All, in the order in which `sbatch` reads them.
    pub const ALL: [Dialect; 2] = [Dialect::Pbs, Dialect::Lsf];

    /// How its lines begin.
    pub const fn magic(self) -> &'static str {
        match self {
            Dialect::Pbs => "#PBS",
            Dialect::Lsf => "#BSUB",
        }
    }
}

/// A script's lines in another dialect, as `sbatch` would have them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Translated {
    /// Long options with their value in one word each.
    pub options: Vec<String>,
    /// What has no counterpart, as written.
    pub unknown: Vec<String>,
}

impl Translated {
    fn option(&mut self, name: &str, value: &str) {
        self.options.push(format!("--{name}={value}"));
    }

    fn flag(&mut self, name: &str) {
        self.options.push(format!("--{name}"));
    }

    fn unknown(&mut self, letter: char, value: &str) {
        self.unknown.push(format!("-{letter} {value}").trim_end().to_owned());
    }
}

/// Translates the words of all lines of one dialect.
pub fn translate(dialect: Dialect, words: &[String]) -> Translated {
    let flags = match dialect {
        Dialect::Pbs => "fhIVXz",
        Dialect::Lsf => "BHINrx",
    };
    let mut translated = Translated::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
        let Some(letter) = letters.next() else {
            translated.unknown.push(word.clone());
            continue;
        };
        let glued = letters.as_str();
        let value = match (flags.contains(letter), glued) {
            (true, _) => "",
            (false, "") => words.next().map_or("", String::as_str),
            (false, glued) => glued,
        };
        match dialect {
            Dialect::Pbs => pbs(letter, value, &mut translated),
            Dialect::Lsf => lsf(letter, value, &mut translated),
        }
    }
    translated
}

fn pbs(letter: char, value: &str, to: &mut Translated) {
    match letter {
        'a' => match date(value) {
            Some(begin) => to.option("begin", &begin),
            None => to.unknown(letter, value),
        },
        'A' => to.option("account", value),
        'e' => to.option("error", file(value)),
        'h' => to.flag("hold"),
        'l' => value.split(',').for_each(|resource| pbs_resource(resource, to)),
        'm' => mail(value, to),
        'M' => to.option("mail-user", value),
        'N' => to.option("job-name", value),
        'o' => to.option("output", file(value)),
        'q' => to.option("partition", value),
        'r' => to.flag(if value.starts_with(['n', 'N']) { "no-requeue" } else { "requeue" }),
        't' | 'J' => to.option("array", value),
        'v' => to.option("export", &format!("ALL,{value}")),
        'W' => value.split(',').for_each(|attribute| match attribute.split_once('=') {
            Some(("depend", dependency)) => to.option("dependency", dependency),
            Some(("block", "true")) => to.flag("wait"),
            _ => to.unknown('W', attribute),
        }),
        // Joined output and the whole environment are what sbatch does anyway; the rest is about the other system.
        'c' | 'C' | 'f' | 'I' | 'j' | 'k' | 'S' | 'u' | 'V' | 'X' | 'z' => {}
        _ => to.unknown(letter, value),
    }
}

/// One of `-l a=1,b=2`; a request for chunks (`select=2:ncpus=4`) is one too.
fn pbs_resource(resource: &str, to: &mut Translated) {
    let (name, value) = resource.split_once('=').unwrap_or((resource, ""));
    match name {
        "nodes" => pbs_nodes(value, to),
        "select" => {
            let mut parts = value.split(':');
            to.option("nodes", parts.next().unwrap_or_default());
            parts.for_each(|part| pbs_resource(part, to));
        }
        "walltime" => to.option("time", value),
        "mem" => to.option("mem", value),
        "pmem" => to.option("mem-per-cpu", value),
        "file" => to.option("tmp", value),
        "ncpus" => to.option("mincpus", value),
        "mpiprocs" | "mppnppn" => to.option("ntasks-per-node", value),
        "mppwidth" | "procs" => to.option("ntasks", value),
        "mppdepth" => to.option("cpus-per-task", value),
        "ngpus" | "gpus" => to.option("gpus-per-node", value),
        "nice" => to.option("nice", value),
        // Limits on time of processors do not exist here, and placement in chunks is the cluster's.
        "cput" | "pcput" | "place" => {}
        _ => to.unknown('l', resource),
    }
}

/// `2`, `2:ppn=3`, `host1+host2:ppn=3`, with features between colons.
fn pbs_nodes(value: &str, to: &mut Translated) {
    let (mut hosts, mut count, mut tasks_each) = (Vec::new(), 0_u32, None);
    for chunk in value.split('+') {
        // `ppn` may stand behind a plus, too.
        let (first, parts) = match chunk.split_once(':') {
            Some((first, parts)) => (first, parts),
            None if chunk.contains('=') => ("0", chunk),
            None => (chunk, ""),
        };
        match first.parse::<u32>() {
            Ok(number) => count = count.saturating_add(number),
            Err(_) => hosts.push(first),
        }
        for part in parts.split(':').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("ppn", tasks)) => tasks_each = Some(tasks),
                Some(("gpus", gpus)) => to.option("gpus-per-node", gpus),
                None => to.option("constraint", part),
                Some(_) => to.unknown('l', part),
            }
        }
    }
    count = if count > 0 { count.saturating_add(hosts.len() as u32) } else { 0 };
    match (tasks_each, tasks_each.and_then(|tasks| tasks.parse::<u32>().ok()).filter(|_| count > 0)) {
        (Some(_), Some(tasks)) => to.option("ntasks", &count.saturating_mul(tasks).to_string()),
        (Some(tasks), None) => to.option("ntasks-per-node", tasks),
        (None, _) => {}
    }
    if count > 0 {
        to.option("nodes", &count.to_string());
    }
    if !hosts.is_empty() {
        to.option("nodelist", &hosts.join(","));
    }
}

fn lsf(letter: char, value: &str, to: &mut Translated) {
    match letter {
        'c' => to.option("chdir", value),
        'e' => to.option("error", value),
        'i' => to.option("input", value),
        'J' => match value.split_once('[').and_then(|(name, rest)| Some((name, rest.split_once(']')?))) {
            Some((name, (tasks, limit))) => {
                to.option("job-name", name);
                to.option("array", &format!("{tasks}{limit}"));
            }
            None => to.option("job-name", value),
        },
        // Kilobytes; for each processor, as real sbatch takes it.
        'M' => match value.parse::<u64>() {
            Ok(kilobytes) => to.option("mem-per-cpu", &kilobytes.div_ceil(1024).to_string()),
            Err(_) => to.unknown(letter, value),
        },
        'm' => to.option("nodelist", &value.split_whitespace().collect::<Vec<_>>().join(",")),
        'n' => to.option("ntasks", value.split(',').next().unwrap_or_default()),
        'o' => to.option("output", value),
        'P' => to.option("account", value),
        'q' => to.option("partition", value),
        'H' => to.flag("hold"),
        'r' => to.flag("requeue"),
        'u' => to.option("mail-user", value),
        'B' => to.option("mail-type", "BEGIN"),
        'N' => to.option("mail-type", "END"),
        // Hours and minutes; one number is minutes in both systems.
        'W' => {
            let limit = value.split_once('/').map_or(value, |(limit, _)| limit);
            to.option("time", &if limit.contains(':') { format!("{limit}:00") } else { limit.to_owned() });
        }
        'x' => to.flag("exclusive"),
        'I' => {}
        _ => to.unknown(letter, value),
    }
}

/// `[host:]path`.
fn file(value: &str) -> &str {
    value.split_once(':').map_or(value, |(_, path)| path)
}

/// Letters of `-m`: abort, begin, end.
fn mail(letters: &str, to: &mut Translated) {
    let word = |letter| match letter {
        'a' => Some("FAIL"),
        'b' => Some("BEGIN"),
        'e' => Some("END"),
        _ => None,
    };
    let words: Vec<&str> = letters.chars().filter_map(word).collect();
    if !words.is_empty() {
        to.option("mail-type", &words.join(","));
    }
}

/// `hhmm`, `MMDDhhmm` and `YYYYMMDDhhmm`, each with `.SS` or without, as a time of sbatch.
fn date(value: &str) -> Option<String> {
    let (digits, seconds) = value.split_once('.').unwrap_or((value, "00"));
    if !digits.bytes().chain(seconds.bytes()).all(|byte| byte.is_ascii_digit()) || seconds.len() != 2 {
        return None;
    }
    let part = |from: usize| digits.get(from..from + 2);
    match digits.len() {
        4 => Some(format!("{}:{}:{seconds}", part(0)?, part(2)?)),
        8 => Some(format!("{}/{}-{}:{}:{seconds}", part(0)?, part(2)?, part(4)?, part(6)?)),
        12 => {
            let year = digits.get(..4)?;
            Some(format!("{year}-{}-{}T{}:{}:{seconds}", part(4)?, part(6)?, part(8)?, part(10)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn lines_become_options_of_sbatch() {
        let check = |dialect, text: &str, expected: &str| {
            let translated = translate(dialect, &words(text));
            assert_eq!(translated.options.join(" "), expected, "{text}");
            assert!(translated.unknown.is_empty(), "{text}");
        };
        let pbs = Dialect::Pbs;
        check(pbs, "-N name -q batch -o out -e host:err", "--job-name=name --partition=batch --output=out --error=err");
        check(pbs, "-l nodes=2:ppn=3,walltime=00:20:00", "--ntasks=6 --nodes=2 --time=00:20:00");
        check(pbs, "-l nodes=3+ppn=2,mem=1024mb", "--ntasks=6 --nodes=3 --mem=1024mb");
        check(pbs, "-l nodes=a+b:ppn=2", "--ntasks-per-node=2 --nodelist=a,b");
        check(pbs, "-lselect=2:ncpus=4:mem=1gb", "--nodes=2 --mincpus=4 --mem=1gb");
        check(pbs, "-j oe -m ae -M me@x -V", "--mail-type=FAIL,END --mail-user=me@x");
        check(pbs, "-W depend=afterok:1 -r n -h -t 1-3", "--dependency=afterok:1 --no-requeue --hold --array=1-3");
        check(pbs, "-a 1530 -v A=1,B", "--begin=15:30:00 --export=ALL,A=1,B");
        check(pbs, "-a 202701021530.10", "--begin=2027-01-02T15:30:10");
        let lsf = Dialect::Lsf;
        check(
            lsf,
            "-J lsf -n 4 -W 20 -q batch -o lsf.out",
            "--job-name=lsf --ntasks=4 --time=20 --partition=batch --output=lsf.out",
        );
        check(lsf, "-M 1025 -J x", "--mem-per-cpu=2 --job-name=x");
        check(lsf, "-J a[1-9]%2 -W 1:30 -n 2,4 -x", "--job-name=a --array=1-9%2 --time=1:30:00 --ntasks=2 --exclusive");
    }

    #[test]
    fn what_has_no_counterpart_is_reported() {
        let check = |dialect, text: &str, expected: &str| {
            assert_eq!(translate(dialect, &words(text)).unknown.join("; "), expected, "{text}");
        };
        check(
            Dialect::Pbs,
            "-l nosuch=1,nodes=1 stray -Q x -a 99 -W umask=022",
            "-l nosuch=1; stray; -Q x; -a 99; -W umask=022",
        );
        check(Dialect::Lsf, "-R rusage -M", "-R rusage; -M");
    }

    proptest::proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec("-?\\PC{0,12}", 0..6)) {
            for dialect in Dialect::ALL {
                let _ = translate(dialect, &words);
            }
        }
    }
}
