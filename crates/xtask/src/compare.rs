//! `cargo xtask compare slurm`: the same queue before real Slurm and before Muster, decision by decision. (`compare policies` plays short
//! scripts under other configurations, see [`policies`].)
//!
//! Both get the same slurm.conf and the same submissions while all nodes are drained. Then the nodes are resumed, and when
//! nothing moves any more, who started, where, and why the others wait is compared: a checkpoint. Jobs end when they are
//! told to, so no time has to be hit. After each checkpoint what differs is cancelled on both sides, so that one difference
//! does not make others, half of the rest is ended, and the next checkpoint is awaited.
//!
//! Differences that are wanted, or cannot be helped, stand in `known.rs` with their reason; any other is ours to fix and
//! makes the command fail. With `--evidence DIR` both queues at each checkpoint and the log of the real Slurm are kept.

mod known;
mod observe;
mod plans;
mod policies;
mod side;
mod submissions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use known::Difference;
use observe::{Key, Row, Snapshot};
use plans::{From, Stays};
use side::{Setup, Side};

/// Most checkpoints: enough for the queue to drain, and an end when it does not.
const CHECKPOINTS_MAX: usize = 30;

/// A job that holds everything while the others come, so that they wait for what jobs usually wait for.
const BLOCKER: &str = "blocker";

/// The program that starts a real Slurm: `slurm-up DIR NODES`, with `slurm-down` beside it.
const SLURM_UP: &str = "MUSTER_PEER_SLURM_UP";

const USAGE: &str = "usage: cargo xtask compare (slurm | policies [NAME…]) [--slurm-up FILE] [--evidence DIR]";

/// Compares with the peer named by the first argument.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let Request { peer, names, slurm_up, evidence } = Request::read(args)?;
    let slurm_up = slurm_up.or_else(|| std::env::var_os(SLURM_UP).map(PathBuf::from));
    let Some(slurm_up) = slurm_up.filter(|path| path.exists()) else {
        eprintln!("skipped: no program that starts a real Slurm; name one with --slurm-up or {SLURM_UP}");
        return Ok(ExitCode::SUCCESS);
    };
    if peer == "policies" {
        return Ok(if policies::run(&slurm_up, &names)? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let slurm = Side::slurm(&slurm_up, &Setup::of_submissions())?;
    let muster = Side::muster(&slurm.conf())?;
    let sides = [&slurm, &muster];
    let compared = compare(&sides, evidence.as_deref());
    if let (Some(directory), Some(log)) = (&evidence, slurm.log()) {
        std::fs::write(directory.join("slurmctld.log"), log)?;
    }
    let differences = compared?;
    Ok(if report(&differences) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is asked for.
struct Request {
    /// `slurm` for the two hundred submissions, `policies` for the scripts.
    peer: String,
    /// Scripts.
    names: Vec<String>,
    /// The program that starts a real Slurm.
    slurm_up: Option<PathBuf>,
    /// Where evidence is kept.
    evidence: Option<PathBuf>,
}

impl Request {
    fn read(args: &[String]) -> Result<Request> {
        let (peer, mut rest) = args.split_first().context(USAGE)?;
        ensure!(peer == "slurm" || peer == "policies", USAGE);
        let mut request = Request { peer: peer.clone(), names: Vec::new(), slurm_up: None, evidence: None };
        while let [word, others @ ..] = rest {
            rest = match (word.as_str(), others) {
                ("--slurm-up", [path, others @ ..]) => {
                    request.slurm_up = Some(PathBuf::from(path));
                    others
                }
                ("--evidence", [path, others @ ..]) => {
                    request.evidence = Some(PathBuf::from(path));
                    others
                }
                (name, others) if peer == "policies" && !name.starts_with('-') => {
                    request.names.push(name.to_owned());
                    others
                }
                _ => bail!(USAGE),
            };
        }
        if let Some(directory) = &request.evidence {
            std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        Ok(request)
    }
}

fn compare(sides: &[&Side; 2], evidence: Option<&Path>) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for side in sides {
        let options = ["-N4", "--exclusive", "-p", "batch", "-t", "60"].map(str::to_owned);
        side.submit(BLOCKER, &options)?;
        observe::wait_until(side, |queue| queue.get(BLOCKER).is_some_and(Row::is_running))?;
    }
    submit(sides, &mut differences)?;
    end_at_once(sides, &BTreeSet::from([BLOCKER.to_owned()]), [Vec::new(), Vec::new()])?;
    let mut known_running: BTreeSet<Key> = BTreeSet::new();
    for checkpoint in 1..=CHECKPOINTS_MAX {
        let [theirs, ours] = observe::settled(sides)?;
        let mut found = compare_snapshots(checkpoint, &theirs, &ours, &known_running);
        let stays = [sides[0].stays()?, sides[1].stays()?];
        if let Some(directory) = evidence {
            std::fs::write(directory.join(format!("checkpoint-{checkpoint:02}")), queues(&theirs, &ours, &stays))?;
        }
        found.iter_mut().for_each(|difference| add_evidence(difference, &stays));
        let differing: BTreeSet<Key> = found
            .iter()
            .filter(|difference| !difference.is_reason())
            .map(|difference| difference.job.clone())
            .collect();
        differences.extend(found);
        let ids = |snapshot: &Snapshot| -> Vec<String> {
            differing.iter().filter_map(|job| snapshot.get(job)).map(|row| row.id.clone()).collect()
        };
        let cancelled = [ids(&theirs), ids(&ours)];
        let running: Vec<&Key> = theirs
            .iter()
            .filter(|(job, row)| row.is_running() && !differing.contains(*job))
            .map(|(job, _)| job)
            .collect();
        eprintln!(
            "checkpoint {checkpoint}: {} run on both, {} wait in Slurm, {} in Muster, {} set aside",
            running.len(),
            theirs.values().filter(|row| !row.is_running()).count(),
            ours.values().filter(|row| !row.is_running()).count(),
            differing.len()
        );
        if running.is_empty() && differing.is_empty() {
            break;
        }
        // Every second one, so that the rest holds parts of nodes.
        let ending: BTreeSet<Key> = running.iter().step_by(2).map(|job| (*job).clone()).collect();
        known_running = running.into_iter().filter(|job| !ending.contains(*job)).cloned().collect();
        let gone: BTreeSet<Key> = ending.into_iter().chain(differing).collect();
        end_at_once(sides, &gone, cancelled)?;
    }
    Ok(differences)
}

/// Ends jobs on both sides, those with these numbers by cancelling them. What they held becomes free bit by bit, and is
/// offered all at once, so that it does not matter who looks first.
fn end_at_once(sides: &[&Side; 2], jobs: &BTreeSet<Key>, cancelled: [Vec<String>; 2]) -> Result<()> {
    for (side, ids) in sides.iter().zip(cancelled) {
        side.call("scontrol", &["update", "NodeName=n[1-4]", "State=DRAIN", "Reason=compare"])?;
        side.cancel(ids)?;
        side.end(jobs)?;
    }
    for side in sides {
        observe::wait_until(side, |queue| jobs.iter().all(|job| !queue.contains_key(job)))?;
        observe::wait_until_clean(side)?;
        side.call("scontrol", &["update", "NodeName=n[1-4]", "State=RESUME"])?;
    }
    Ok(())
}

/// Submits everything to both, and compares what they say.
fn submit(sides: &[&Side; 2], differences: &mut Vec<Difference>) -> Result<()> {
    let mut numbers: [BTreeMap<String, String>; 2] = Default::default();
    let submissions = submissions::all();
    for submission in &submissions {
        let mut answers = Vec::new();
        for (side, numbers) in sides.iter().zip(&mut numbers) {
            let answer = side.submit(&submission.name, &submission.arguments_with(numbers))?;
            match answer.trim().strip_prefix("Submitted batch job ") {
                Some(number) => {
                    numbers.insert(submission.name.clone(), number.to_owned());
                    answers.push("taken".to_owned());
                }
                None => answers.push(answer.trim().to_owned()),
            }
        }
        if answers[0] != answers[1] {
            // Who has it alone gives it up, so that the queues stay alike.
            for (side, numbers) in sides.iter().zip(&mut numbers) {
                side.cancel(numbers.remove(&submission.name).into_iter().collect())?;
            }
            differences.push(Difference {
                checkpoint: 0,
                class: "submit",
                follows: false,
                options: submission.options(),
                job: submission.name.clone(),
                theirs: answers.remove(0),
                ours: answers.remove(0),
                kept_in_slurm: None,
                kept_from_the_minute: None,
                is_woken: false,
                kept_in_muster: None,
            });
        }
    }
    ensure!(!numbers[0].is_empty(), "real Slurm took none of the jobs");
    eprintln!(
        "{} submissions, taken: {} by Slurm, {} by Muster",
        submissions.len(),
        numbers[0].len(),
        numbers[1].len()
    );
    Ok(())
}

/// All differences of a checkpoint, in the order of the queue. The first start or place that differs is the last that says
/// something by itself: it changes what is left for those after it. A job that depends on one that has started on one side only
/// waits in other queues, and so do those after it.
fn compare_snapshots(checkpoint: usize, theirs: &Snapshot, ours: &Snapshot, known: &BTreeSet<Key>) -> Vec<Difference> {
    let mut found = Vec::new();
    let jobs: BTreeSet<&Key> = theirs.keys().chain(ours.keys()).collect();
    for job in jobs.into_iter().filter(|job| !known.contains(*job)) {
        let (their, our) = (theirs.get(job), ours.get(job));
        let is_woken = is_woken(theirs, ours, job, known);
        let mut add = |class, show: fn(&Row) -> String| {
            let text = |row: Option<&Row>| row.map_or_else(|| "not in the queue".to_owned(), show);
            let (theirs, ours) = (text(their), text(our));
            let (job, options) = (job.clone(), submissions::of(job));
            found.push(Difference {
                checkpoint,
                class,
                follows: false,
                job,
                options,
                theirs,
                ours,
                kept_in_slurm: None,
                kept_from_the_minute: None,
                is_woken,
                kept_in_muster: None,
            });
        };
        match (their, our) {
            (Some(their), Some(our)) if their.is_running() && our.is_running() => {
                if their.nodes != our.nodes {
                    add("nodes", |row| row.nodes.clone());
                }
            }
            (Some(their), Some(our)) if !their.is_running() && !our.is_running() => {
                if their.reason != our.reason {
                    add("reason", |row| row.reason.clone());
                }
            }
            _ => add("start", Row::text),
        }
    }
    found.sort_by_key(|difference| place(theirs, ours, &difference.job));
    let moved: BTreeSet<String> = found.iter().filter(|difference| !difference.is_reason()).map(name_of).collect();
    let depends = |job: &Key| submissions::targets(job).iter().any(|target| moved.contains(target));
    let first_following = found.iter().position(|difference| depends(&difference.job));
    let first_moved = found.iter().position(|difference| !difference.is_reason()).map(|first| first + 1);
    let first = first_following.into_iter().chain(first_moved).min().unwrap_or(found.len());
    found.iter_mut().skip(first).for_each(|difference| difference.follows = true);
    found
}

/// The place in the queue at which a difference came about. A job stands in the queue of each of its partitions: one that has
/// started in none of higher tier had its turn among those below.
fn place(theirs: &Snapshot, ours: &Snapshot, job: &Key) -> submissions::Rank {
    let rows = [theirs.get(job), ours.get(job)];
    let mut running = rows.into_iter().flatten().filter(|row| row.is_running()).peekable();
    let has_started_below = running.peek().is_some() && running.all(|row| row.partition != submissions::HIGH_TIER);
    let mut rank = submissions::rank(job);
    rank.below_tier |= has_started_below;
    rank
}

/// Whether a job waited for the start of another that runs on both sides, and did not at the checkpoint before (`known` did).
fn is_woken(theirs: &Snapshot, ours: &Snapshot, job: &Key, known: &BTreeSet<Key>) -> bool {
    let runs = |snapshot: &Snapshot, target: &Key| snapshot.get(target).is_some_and(Row::is_running);
    let has_started = |target: &Key| !known.contains(target) && runs(theirs, target) && runs(ours, target);
    submissions::of(job).contains("after:") && submissions::targets(job).iter().any(has_started)
}

/// The submission that a difference is about.
fn name_of(difference: &Difference) -> String {
    difference.job.split('_').next().unwrap_or_default().to_owned()
}

/// Whom each side keeps the place for that the job has on the other.
fn add_evidence(difference: &mut Difference, [slurm, muster]: &[Stays; 2]) {
    let job = &difference.job;
    difference.kept_in_slurm = plans::keeper(job, muster.get(job), slurm, From::Start);
    difference.kept_from_the_minute = plans::keeper(job, muster.get(job), slurm, From::Minute);
    difference.kept_in_muster = plans::keeper(job, slurm.get(job), muster, From::Start);
}

/// Both queues in their order, and what each side keeps for whom.
fn queues(theirs: &Snapshot, ours: &Snapshot, stays: &[Stays; 2]) -> String {
    let mut jobs: Vec<&Key> = theirs.keys().chain(ours.keys()).chain(stays.iter().flat_map(BTreeMap::keys)).collect();
    jobs.sort_by_key(|job| submissions::rank(job));
    jobs.dedup();
    let side = |snapshot: &Snapshot, stays: &Stays, job: &Key| {
        let row = snapshot.get(job).map_or_else(|| "-".to_owned(), Row::text);
        stays.get(job).map_or_else(|| row.clone(), |stay| format!("{row} ({stay})"))
    };
    let line = |job: &Key| {
        let (their, our) = (side(theirs, &stays[0], job), side(ours, &stays[1], job));
        format!("{job} ({}): Slurm {their}, Muster {our}\n", submissions::of(job))
    };
    jobs.into_iter().map(line).collect()
}

/// Prints all differences; whether each is known.
fn report(differences: &[Difference]) -> bool {
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<&Difference>> = BTreeMap::new();
    let (following, own): (Vec<&Difference>, Vec<&Difference>) =
        differences.iter().partition(|difference| difference.follows);
    for difference in &own {
        groups.entry((difference.class, known::why(difference))).or_default().push(difference);
    }
    println!("{} differences that may follow from one before them in the queue:", following.len());
    following.iter().for_each(|difference| println!("  {difference}"));
    let mut unknown = 0;
    for ((class, why), group) in &groups {
        println!("\n{class}: {} differences; {}", group.len(), why.unwrap_or("OURS TO FIX"));
        group.iter().for_each(|difference| println!("  {difference}"));
        if why.is_none() {
            unknown += group.len();
        }
    }
    println!("\n{} differences by themselves, {unknown} of them ours to fix", own.len());
    unknown == 0
}

/// The text of a finished command, or what went wrong.
fn text_of(output: std::process::Output, what: &str) -> Result<String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} ended with {}: {}", output.status, stderr.trim());
    String::from_utf8(output.stdout).with_context(|| format!("{what} printed what is no text"))
}
