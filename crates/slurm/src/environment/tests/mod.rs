//! Whole environments of real Slurm 22.05, made again from model values.
//!
//! The text files hold what its processes printed, sorted, without what a shell changes (`SHLVL`, `_`) and without
//! `SLURM_TASK_PID`.

mod allocation;
mod batch;
pub(crate) mod fixture;
mod hooks;
mod mail;
mod paths;
mod step;

/// What the script of a job is told of the GPUs that it holds.
pub(crate) fn gpu_lines(held: &[muster_model::resources::GresShare], gpus: &super::GpuFacts) -> String {
    let mut list = super::facts::Builder::default();
    super::gpus::of_job(&mut list, held, gpus);
    let lines = list.finish().into_iter().map(|(name, value)| format!("{name}={value}"));
    lines.collect::<Vec<_>>().join(" ")
}

/// The lines of the section `title` in a file of sections.
fn section(file: &str, title: &str) -> Vec<String> {
    let heading = format!("== {title}");
    let lines: Vec<String> = file
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("== "))
        .map(str::to_owned)
        .collect();
    assert!(!lines.is_empty(), "no section {title:?}");
    lines
}
