//! `cargo xtask compare policies`: short scripts beside a real Slurm, each under a configuration of its own: preemption by QOS,
//! reservations, fair shares, switches, turns.
//!
//! A script is a text file in `policies/`. Its lines, by their first word: `conf` and `topology` are lines of the files of that name (node
//! and partition lines take the place of all that were there), `account` is a call of sacctmgr and turns accounting on; `scenario` begins
//! with an empty queue; `submit NAME [@USER] OPTIONS` is an sbatch; `show` waits until nothing moves and compares both queues; `run` compares
//! what a command prints, `near` does and lets numbers differ by a hundredth, since runs are not equally long to the millisecond; `wait`
//! lets seconds pass; `known` says why what the next line finds is right, or cannot be helped.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::side::{Setup, Side};

/// All scripts, by name.
const SCRIPTS: &[(&str, &str)] = &[
    ("classic", include_str!("policies/classic.txt")),
    ("fair-tree", include_str!("policies/fair-tree.txt")),
    ("preemption", include_str!("policies/preemption.txt")),
    ("reservations", include_str!("policies/reservations.txt")),
];

/// For so long nothing may change before queues are compared.
const QUIET_S: u64 = 4;
/// When a queue has not settled by then, it is compared as it is.
const PATIENCE_S: u64 = 60;

/// Runs the scripts with these names, or all. Whether every difference is known.
pub(super) fn run(slurm_up: &Path, names: &[String]) -> Result<bool> {
    if let Some(unknown) = names.iter().find(|name| !SCRIPTS.iter().any(|(known, _)| known == name)) {
        let known: Vec<&str> = SCRIPTS.iter().map(|(name, _)| *name).collect();
        bail!("no script {unknown}; there are {}", known.join(", "));
    }
    let mut unexplained = 0;
    for (name, text) in SCRIPTS.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name))
    {
        let found = play(slurm_up, &Script::read(text).with_context(|| format!("script {name}"))?)
            .with_context(|| format!("script {name}"))?;
        let ours = found.iter().filter(|difference| difference.why.is_none()).count();
        println!("{name}: {} differences, {ours} of them ours to fix", found.len());
        found.iter().for_each(|difference| println!("{difference}"));
        unexplained += ours;
    }
    Ok(unexplained == 0)
}

#[derive(Debug, Default)]
struct Script<'a> {
    conf: Vec<&'a str>,
    topology: Vec<&'a str>,
    accounts: Vec<&'a str>,
    steps: Vec<(&'a str, &'a str)>,
}

impl<'a> Script<'a> {
    fn read(text: &'a str) -> Result<Script<'a>> {
        let mut script = Script::default();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "conf" => script.conf.push(rest),
                "topology" => script.topology.push(rest),
                "account" => script.accounts.push(rest),
                "scenario" | "submit" | "show" | "run" | "near" | "wait" | "known" => script.steps.push((word, rest)),
                _ => bail!("no such line: {line}"),
            }
        }
        Ok(script)
    }

    /// The slurm.conf that was written for the real Slurm, with the lines of the script.
    fn configured(&self, text: &str) -> String {
        let key = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
        let replaced = |line: &&str| self.conf.iter().any(|own| key(own) == key(line));
        let nodes: Vec<&str> = text.lines().filter(|line| line.starts_with("NodeName=")).collect();
        let mut lines: Vec<String> = text.lines().filter(|line| !replaced(line)).map(str::to_owned).collect();
        for own in &self.conf {
            // Where a node is reached stands in the line that was there.
            let name = own.split(' ').next().unwrap_or_default();
            let place = nodes.iter().find(|line| line.split(' ').next() == Some(name));
            let words = place.map(|line| line.split(' ').filter(|word| is_place(word)).collect::<Vec<_>>().join(" "));
            lines.push(words.map_or_else(|| (*own).to_owned(), |words| format!("{own} {words}")));
        }
        lines.join("\n") + "\n"
    }
}

fn is_place(word: &str) -> bool {
    ["NodeHostname=", "NodeAddr=", "Port="].iter().any(|key| word.starts_with(key))
}

struct Found<'a> {
    scenario: &'a str,
    step: String,
    theirs: String,
    ours: String,
    why: Option<&'a str>,
}

impl std::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "  {}: {}; {}", self.scenario, self.step, self.why.unwrap_or("OURS TO FIX"))?;
        let (theirs, ours): (Vec<&str>, Vec<&str>) = (self.theirs.lines().collect(), self.ours.lines().collect());
        theirs.iter().filter(|line| !ours.contains(line)).try_for_each(|line| writeln!(f, "    Slurm:  {line}"))?;
        ours.iter().filter(|line| !theirs.contains(line)).try_for_each(|line| writeln!(f, "    Muster: {line}"))
    }
}

fn play<'a>(slurm_up: &Path, script: &Script<'a>) -> Result<Vec<Found<'a>>> {
    let configured = |text: &str| script.configured(text);
    let setup = Setup {
        nodes: script.conf.iter().filter(|line| line.starts_with("NodeName=")).count() as u16,
        accounting: !script.accounts.is_empty(),
        configured: &configured,
        topology: script.topology.join("\n"),
    };
    let slurm = Side::slurm(slurm_up, &setup)?;
    let muster = Side::muster(&slurm.conf())?;
    let mut stages = [Stage::new(&slurm), Stage::new(&muster)];
    for account in &script.accounts {
        stages.iter().try_for_each(|stage| stage.side.shell(&format!("sacctmgr -i {account}"), &[]).map(drop))?;
    }
    let (mut found, mut scenario, mut why) = (Vec::new(), "", None);
    for (word, rest) in &script.steps {
        match *word {
            "scenario" => {
                stages.iter_mut().try_for_each(Stage::clear)?;
                scenario = rest;
                eprintln!("{scenario}");
                continue;
            }
            "known" => {
                why = Some(*rest);
                continue;
            }
            _ => {}
        }
        let mut answers = std::thread::scope(|scope| -> Result<Vec<String>> {
            let threads: Vec<_> = stages.iter_mut().map(|stage| scope.spawn(|| stage.step(word, rest))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread has failed"))).collect()
        })?;
        ensure!(answers.len() == 2, "two sides answer");
        let (ours, theirs) = (answers.pop().unwrap_or_default(), answers.pop().unwrap_or_default());
        let is_same = if *word == "near" { are_near(&theirs, &ours) } else { theirs == ours };
        if !is_same {
            found.push(Found { scenario, step: format!("{word} {rest}"), theirs, ours, why });
        }
        why = None;
    }
    Ok(found)
}

/// Whether texts differ in numbers only, and in these by a hundredth at the most.
fn are_near(theirs: &str, ours: &str) -> bool {
    let parts = |text: &str| -> Vec<String> { text.split([' ', '\n', '|', '=', ',']).map(str::to_owned).collect() };
    let (theirs, ours) = (parts(theirs), parts(ours));
    let near = |(one, other): (&String, &String)| match (one.parse::<f64>(), other.parse::<f64>()) {
        // Two that are infinite have no difference that is a number.
        (Ok(number), Ok(its)) => {
            let room = 0.01 * number.abs().max(its.abs()) + 0.001;
            one == other || (room.is_finite() && (number - its).abs() <= room)
        }
        _ => one == other,
    };
    theirs.len() == ours.len() && theirs.iter().zip(&ours).all(near)
}

/// A side with the numbers of the jobs of a scenario.
struct Stage<'a> {
    side: &'a Side,
    numbers: BTreeMap<String, String>,
}

impl Stage<'_> {
    fn new(side: &Side) -> Stage<'_> {
        Stage { side, numbers: BTreeMap::new() }
    }

    fn step(&mut self, word: &str, rest: &str) -> Result<String> {
        match word {
            "submit" => self.submit(rest),
            "show" => self.show(),
            "wait" => {
                std::thread::park_timeout(std::time::Duration::from_secs(rest.parse().context("seconds")?));
                Ok(String::new())
            }
            _ => self.call(rest),
        }
    }

    fn submit(&mut self, line: &str) -> Result<String> {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        ensure!(!words.is_empty(), "submit NAME [@USER] OPTIONS");
        let name = words.remove(0);
        let user = words.first().and_then(|word| word.strip_prefix('@'));
        let options = words.iter().filter(|word| !word.starts_with('@')).copied().collect::<Vec<_>>().join(" ");
        let who =
            user.map_or_else(String::new, |user| format!("setpriv --reuid {user} --regid {user} --clear-groups "));
        let who = user.map_or(who.clone(), |user| format!("{who}env USER={user} LOGNAME={user} HOME=/ "));
        let line = format!("{who}sbatch -J {name} -o /dev/null {options} --wrap 'exec sleep 1000'");
        let answer = self.call(&line)?;
        if let Some(number) = answer.trim().strip_prefix("Submitted batch job ") {
            self.numbers.insert(name.to_owned(), number.to_owned());
            return Ok("Submitted".to_owned());
        }
        Ok(answer)
    }

    /// Both streams of a command, with names in the place of numbers of jobs. `$NAME` stands for the number of a job.
    fn call(&self, line: &str) -> Result<String> {
        let variables: Vec<(&str, &str)> = self.numbers.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
        let text = self.side.shell(line, &variables)?;
        let named = |word: &str| {
            let number = self.numbers.iter().find(|(_, number)| word == number.as_str());
            number.map_or_else(|| word.to_owned(), |(name, _)| name.clone())
        };
        let line = |line: &str| line.split(' ').map(named).collect::<Vec<_>>().join(" ").trim_end().to_owned();
        Ok(text.lines().map(line).collect::<Vec<_>>().join("\n"))
    }

    fn show(&self) -> Result<String> {
        let quiet = std::time::Duration::from_secs(QUIET_S);
        let begun = std::time::Instant::now();
        let look = || self.side.shell("squeue -a -h -r -S i -o '%j %P %T %C %R'", &[]);
        let (mut last, mut since) = (look()?, std::time::Instant::now());
        while since.elapsed() < quiet && begun.elapsed().as_secs() < PATIENCE_S {
            std::thread::park_timeout(std::time::Duration::from_millis(300));
            let next = look()?;
            if next != last {
                (last, since) = (next, std::time::Instant::now());
            }
        }
        Ok(last)
    }

    /// Ends whatever there is, jobs before reservations, and waits until nodes are clean.
    fn clear(&mut self) -> Result<()> {
        self.side.shell("scancel -f $(squeue -a -h -o %A | sort -u) 2>/dev/null", &[])?;
        let begun = std::time::Instant::now();
        let is_busy = || -> Result<bool> {
            let busy = self.side.shell("squeue -a -h -o %i; sinfo -h -N -o %T | grep -E 'comp|alloc|mix'", &[])?;
            Ok(!busy.trim().is_empty())
        };
        while is_busy()? && begun.elapsed().as_secs() < PATIENCE_S {
            std::thread::park_timeout(std::time::Duration::from_millis(300));
        }
        let delete = "for r in $(scontrol show res -o | sed -n 's/^ReservationName=\\([^ ]*\\).*/\\1/p'); do scontrol delete reservationname=$r; done";
        self.side.shell(delete, &[])?;
        self.numbers.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scripts_can_be_read() {
        for (name, text) in SCRIPTS {
            let script = Script::read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(script.conf.iter().any(|line| line.starts_with("NodeName=")), "{name}");
            assert!(script.steps.iter().any(|(word, _)| matches!(*word, "show" | "near")), "{name} compares something");
        }
    }

    #[test]
    fn nodes_keep_where_they_are_reached() {
        let script = Script { conf: vec!["NodeName=n1 CPUs=8", "KillWait=2"], ..Script::default() };
        let text =
            "KillWait=5\nClusterName=c\nNodeName=n1 NodeAddr=127.0.0.1 Port=7 CPUs=16\nNodeName=n2 Port=8 CPUs=16";
        assert_eq!(
            script.configured(text),
            "ClusterName=c\nNodeName=n1 CPUs=8 NodeAddr=127.0.0.1 Port=7\nKillWait=2\n"
        );
    }

    #[test]
    fn numbers_may_differ_by_a_hundredth() {
        assert!(are_near("bob 1000|0.5", "bob 1009|0.5"));
        assert!(are_near("bob 1000|inf", "bob 1009|inf"));
        assert!(!are_near("bob 1000|inf", "bob 1000|1.0"));
        assert!(!are_near("bob 1000", "bob 1020"));
        assert!(!are_near("bob 1000", "eve 1000"));
        assert!(!are_near("bob 1000", "bob 1000 1"));
    }
}
