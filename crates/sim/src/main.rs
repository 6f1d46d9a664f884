//! Runs seeds of the simulation and shows what went wrong: `muster-sim --seeds 0..200`, `muster-sim --trace 17`.

use std::ops::Range;
use std::process::ExitCode;

use muster_model::time::Span;
use muster_sim::{Counts, Options, Report, run};

const USAGE: &str = "\
Usage: muster-sim [--seeds FROM..TO] [--trace SEED] [options]

  --seeds FROM..TO   run these seeds (default 0..200); stops at the first that fails
  --trace SEED       run one seed and print its whole trace
  --keep-going       run all seeds even when some fail
  --no-faults        nothing fails
  --submits N        jobs and arrays submitted at most
  --minutes N        virtual time during which things happen
";

struct Request {
    seeds: Range<u64>,
    trace: Option<u64>,
    keep_going: bool,
    options: Options,
}

fn main() -> ExitCode {
    match parse() {
        Ok(Some(request)) => carry_out(&request),
        Ok(None) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprint!("muster-sim: {problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse() -> Result<Option<Request>, lexopt::Error> {
    use lexopt::prelude::{Long, Short, ValueExt};
    let mut request = Request { seeds: 0..200, trace: None, keep_going: false, options: Options::default() };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("seeds") => request.seeds = arguments.value()?.parse_with(range)?,
            Long("trace") => request.trace = Some(arguments.value()?.parse()?),
            Long("keep-going") => request.keep_going = true,
            Long("no-faults") => request.options.faults = false,
            Long("submits") => request.options.submits_max = arguments.value()?.parse()?,
            Long("minutes") => {
                request.options.activity = Span::from_minutes(arguments.value()?.parse::<u32>()?.into());
            }
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(request))
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("expected FROM..TO")?;
    let number = |part: &str| part.parse::<u64>().map_err(|error| format!("{part:?}: {error}"));
    Ok(number(from)?..number(to)?)
}

fn carry_out(request: &Request) -> ExitCode {
    if let Some(seed) = request.trace {
        let report = run(seed, &Options { trace: true, ..request.options.clone() });
        report.trace.iter().for_each(|line| println!("{line}"));
        return if report.failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut counts = Counts::default();
    let mut failed = 0;
    for seed in request.seeds.clone() {
        let report = run(seed, &request.options);
        counts.add(report.counts);
        if report.failure.is_some() {
            failed += 1;
            show(&report);
            if !request.keep_going {
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{} seeds, {failed} failed; {counts:?}", request.seeds.end.saturating_sub(request.seeds.start));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(report: &Report) {
    let tail = report.trace.len().saturating_sub(60);
    report.trace[tail..].iter().for_each(|line| println!("{line}"));
    println!("seed {} failed: {}", report.seed, report.failure.as_deref().unwrap_or_default());
    println!("whole trace: cargo run -p muster-sim -- --trace {} (with the same options)\n", report.seed);
}
