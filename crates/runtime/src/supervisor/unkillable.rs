//! Units whose processes outlive KILL, because they hang in the kernel for instance. As in Slurm they are given up after a while:
//! what the site wants run is run, the end is told with the word that something is left, and that is left alone. It cannot be told
//! from a process that would have died a moment later, so nothing rests on it but that the node is to be looked at.

use std::time::{Duration, Instant};

use super::launcher::Work;
use super::server::Server;
use super::spawn::Stack;
use super::task_hooks::{self, Setting};
use super::units::{Phase, Unit};
use crate::system;
use crate::unit::{UnitKey, Unkillable};

/// How long the program may take. A launcher thread waits for it, nobody else does.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(300);

impl Server {
    /// Gives up units whose processes have outlived KILL for too long.
    pub(crate) fn give_up_unkillable(&mut self, now: Instant) {
        let is_due = |unit: &&Unit| unit.give_up_at().is_some_and(|at| at <= now);
        let due: Vec<UnitKey> = self.units.values().filter(is_due).map(|unit| unit.key).collect();
        due.into_iter().for_each(|key| self.give_up(key));
    }

    fn give_up(&mut self, key: UnitKey) {
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        let left = unit.living();
        let task = unit.living_tasks().next().is_some();
        if left.is_empty() && !task {
            unit.forget_kill();
            return;
        }
        tracing::error!(unit = %key, ?left, "its processes cannot be killed; it is given up");
        unit.unkillable = Some(if task { Unkillable::Task } else { Unkillable::Descendants });
        unit.set_phase(Phase::Cleaning);
        let (line, rule) = (farewell(unit), unit.unkillable_rule.clone());
        self.say(key, line);
        if let Some(program) = rule.program {
            self.launcher.submit(Work::UnkillableProgram { key, program, variables: rule.variables });
        }
    }
}

/// Slurm's words for the unit's error stream.
fn farewell(unit: &Unit) -> Vec<u8> {
    let UnitKey { job_id, step, .. } = unit.key;
    let what = match step {
        muster_model::ids::StepId::Batch => format!("JOB {job_id}"),
        step => format!("STEP {job_id}.{step}"),
    };
    let (node, now) = (&unit.unkillable_rule.node_name, system::local_time());
    let line = format!(
        "slurmstepd: error: *** {what} STEPD TERMINATED ON {node} AT {now} DUE TO JOB NOT ENDING WITH SIGNALS ***\n"
    );
    line.into_bytes()
}

/// Runs the site's program; what it prints is dropped.
pub(crate) fn run(key: UnitKey, program: &str, variables: &[String], stack: &mut Stack) {
    match start(program, variables, stack) {
        Ok((0, _)) => tracing::info!(unit = %key, program, "the UnkillableStepProgram was run"),
        Ok((code, _)) => tracing::warn!(unit = %key, program, code, "the UnkillableStepProgram failed"),
        Err(error) => tracing::error!(unit = %key, program, %error, "the UnkillableStepProgram could not be run"),
    }
}

fn start(program: &str, variables: &[String], stack: &mut Stack) -> std::io::Result<(u8, Vec<u8>)> {
    let variables = variables.iter().map(|variable| variable.clone().into_bytes());
    let setting = Setting::of_site(variables.collect())?;
    task_hooks::run(&setting, program, None, PROGRAM_PATIENCE, stack)
}
