//! What an agent tells: ends of units, and the machine. From the supervisor's words to those of the wire.

use muster_model::ids::{JobId, RestartCount};
use muster_model::measure::TaskMeasure;
use muster_model::node::Hardware;
use muster_model::time::Timestamp;
use muster_proto::{self as wire, document};
use muster_runtime::detect;
use muster_runtime::unit::{
    CONFINEMENT_FAILED, Outcome, PROLOG_FAILED, SPACE_FAILED, SPOOL_UNUSABLE, TaskEnd, UnitEnd, UnitKey, Unkillable,
};

use crate::clock;
use crate::health::Health;
use crate::options::AgentOptions;

/// A key as it travels.
pub(crate) fn wire_key(key: UnitKey) -> wire::UnitKey {
    wire::UnitKey { job_id: key.job_id.0, restart: key.restart.0, step: key.step.to_string() }
}

/// A key as it came; `None` when the step is none that this version knows.
pub(crate) fn unit_key(key: &wire::UnitKey) -> Option<UnitKey> {
    let step = key.step.parse().ok()?;
    Some(UnitKey { job_id: JobId(key.job_id), restart: RestartCount(key.restart), step })
}

/// The report of an end, still without the word on whether the job is clean.
pub(crate) fn unit_ended(end: &UnitEnd) -> wire::UnitEnded {
    let prolog_failed = matches!(&end.outcome, Outcome::NotStarted { errno: PROLOG_FAILED, .. });
    let (failure, node_at_fault) = match &end.outcome {
        Outcome::Ran => (String::new(), false),
        Outcome::NotStarted { message, errno } => (message.clone(), is_nodes_fault(*errno)),
        Outcome::Lost => ("the supervisor of the node died".to_owned(), false),
    };
    wire::UnitEnded {
        key: Some(wire_key(end.key)),
        tasks: end.tasks.iter().map(task_end).collect(),
        failure,
        node_at_fault,
        job_is_clean: false,
        end_time_ms: end.end_time.0,
        out_of_memory: end.out_of_memory,
        prolog_failed,
        kill_failure: kill_failure(end.unkillable).into(),
        over_memory: end.over_memory,
    }
}

fn kill_failure(unkillable: Option<Unkillable>) -> wire::KillFailure {
    match unkillable {
        None => wire::KillFailure::None,
        Some(Unkillable::Descendants) => wire::KillFailure::Descendants,
        Some(Unkillable::Task) => wire::KillFailure::Task,
    }
}

/// The word that a job is clean, and how its epilog ended.
pub(crate) fn job_cleaned(job_id: JobId, restart: RestartCount, epilog: Option<&wire::UnitEnded>) -> wire::JobCleaned {
    wire::JobCleaned {
        job_id: job_id.0,
        restart: restart.0,
        epilog_ran: epilog.is_some(),
        epilog_failure: epilog.and_then(hook_failure).unwrap_or_default(),
    }
}

/// Why a prolog or epilog failed; `None` where it did not.
pub(crate) fn hook_failure(end: &wire::UnitEnded) -> Option<String> {
    if !end.failure.is_empty() {
        return Some(end.failure.clone());
    }
    let bad = end.tasks.iter().find(|task| task.code != 0 || task.signal != 0)?;
    Some(match bad.signal {
        0 => format!("exit code {}", bad.code),
        signal => format!("signal {signal}"),
    })
}

/// The report of a unit that never came to run.
pub(crate) fn not_started(key: UnitKey, failure: impl Into<String>, node_at_fault: bool) -> wire::UnitEnded {
    wire::UnitEnded {
        key: Some(wire_key(key)),
        failure: failure.into(),
        node_at_fault,
        end_time_ms: clock::now().0,
        ..wire::UnitEnded::default()
    }
}

/// The report of a unit that was ended before it came to run.
pub(crate) fn ended_early(key: UnitKey, ranks: &[u32]) -> wire::UnitEnded {
    const TERM: u32 = 15;
    let end = |rank: &u32| wire::TaskEnd { rank: *rank, signal: TERM, ..wire::TaskEnd::default() };
    wire::UnitEnded {
        key: Some(wire_key(key)),
        tasks: ranks.iter().map(end).collect(),
        end_time_ms: clock::now().0,
        ..wire::UnitEnded::default()
    }
}

fn task_end(end: &TaskEnd) -> wire::TaskEnd {
    wire::TaskEnd {
        rank: end.rank,
        code: end.exit.code.into(),
        signal: end.exit.signal.into(),
        user_cpu_us: end.usage.user_cpu_us,
        system_cpu_us: end.usage.system_cpu_us,
        rss_kb_max: end.usage.rss_kb_max,
        measure: (!end.measure.is_empty()).then(|| task_measure(&end.measure)),
    }
}

fn task_measure(measure: &TaskMeasure) -> wire::TaskMeasure {
    let (peak, last) = (|(peak, _)| peak, |(_, last)| last);
    wire::TaskMeasure {
        cpu_us: measure.cpu_us,
        rss_kb_max: measure.rss_kb.map(peak),
        rss_kb_last: measure.rss_kb.map(last),
        vm_kb_max: measure.vm_kb.map(peak),
        vm_kb_last: measure.vm_kb.map(last),
        pages: measure.pages,
        read_bytes: measure.read_bytes,
        write_bytes: measure.write_bytes,
        energy_mj: measure.energy_mj,
        gpu_percent_max: measure.gpu_percent.map(peak),
        gpu_percent_last: measure.gpu_percent.map(last),
        gpu_memory_kb_max: measure.gpu_memory_kb.map(peak),
        gpu_memory_kb_last: measure.gpu_memory_kb.map(last),
    }
}

/// Whether a unit could not be set up for lack of something of the whole node. A full or read-only file system is not
/// among them: it is mostly the user's, and blaming the node would send the job on to drain the next one.
fn is_nodes_fault(errno: i32) -> bool {
    let is_ours = matches!(errno, PROLOG_FAILED | CONFINEMENT_FAILED | SPACE_FAILED | SPOOL_UNUSABLE);
    is_ours || matches!(errno, libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE)
}

/// The hardware as the hello carries it; empty where the configuration alone decides. Generic resources that were found are told
/// also where the rest is not to be.
pub(crate) fn hardware(options: &AgentOptions) -> Vec<u8> {
    if !options.report_hardware && !options.gres_source.asks_machine() {
        return Vec::new();
    }
    let (gres, places) = (options.gres.counts.clone(), options.gres.places());
    let rest = match options.report_hardware {
        true => detect::hardware(&options.tmp_dir),
        false => Hardware::of_cpus(0),
    };
    document::encode(&Hardware { gres, places, ..rest })
}

/// The machine as it is now.
pub(crate) fn machine(agent_start_time: Timestamp, health: &Health) -> wire::MachineReport {
    let (system, load) = (detect::system(), detect::load());
    let power = health.watts();
    wire::MachineReport {
        architecture: system.architecture,
        operating_system: system.operating_system,
        boot_time_ms: system.boot_time.0,
        agent_start_time_ms: agent_start_time.0,
        load_hundredths: load.load_hundredths,
        memory_free_mb: load.memory_free.0,
        fault: health.fault(),
        current_watts: power.map(|(current, _)| current),
        average_watts: power.map(|(_, average)| average),
    }
}

#[cfg(test)]
mod tests {
    use muster_model::ids::StepId;
    use muster_model::state::{ExitStatus, Usage};

    use super::*;

    fn end(outcome: Outcome) -> wire::UnitEnded {
        let key = UnitKey { job_id: JobId(3), restart: RestartCount(1), step: StepId::Batch };
        let measure = TaskMeasure { rss_kb: Some((9, 8)), pages: Some(0), ..TaskMeasure::default() };
        let usage = Usage { rss_kb_max: 9, ..Usage::default() };
        let task = TaskEnd { rank: 0, exit: ExitStatus::exited(7), usage, measure };
        unit_ended(&UnitEnd {
            key,
            outcome,
            exit: ExitStatus::exited(7),
            tasks: vec![task],
            usage: Usage::default(),
            start_time: Timestamp(1),
            end_time: Timestamp(2),
            out_of_memory: false,
            terminated: false,
            over_memory: false,
            unkillable: None,
        })
    }

    #[test]
    fn ends_keep_what_the_controller_needs() {
        let ran = end(Outcome::Ran);
        assert_eq!(unit_key(ran.key.as_ref().unwrap()).unwrap().to_string(), "3.1.batch");
        assert_eq!((ran.tasks[0].code, ran.tasks[0].rss_kb_max, ran.failure.as_str()), (7, 9, ""));
        let measure = ran.tasks[0].measure.unwrap_or_default();
        assert_eq!((measure.rss_kb_max, measure.rss_kb_last, measure.pages), (Some(9), Some(8), Some(0)));
        assert_eq!((measure.vm_kb_max, measure.read_bytes), (None, None));
    }

    #[test]
    fn blame_goes_where_it_belongs() {
        let blamed = |errno| end(Outcome::NotStarted { message: "m".into(), errno }).node_at_fault;
        assert!(!blamed(libc::ENOENT) && !blamed(libc::EACCES) && !blamed(libc::ENOSPC) && !blamed(0));
        assert!(blamed(libc::EAGAIN) && blamed(libc::ENOMEM));
    }

    #[test]
    fn who_tells_nothing_of_the_machine_tells_of_its_devices_alone() {
        use muster_slurm::conf;
        let told = |gres_conf: &str, report_hardware: bool| {
            let files = |path: &std::path::Path| match path.to_str() {
                Some("/c/slurm.conf") => {
                    Ok("ClusterName=x\nSlurmctldHost=h\nNodeName=n1 Gres=gpu:3\nPartitionName=p Nodes=n1\n".to_owned())
                }
                Some("/c/gres.conf") => Ok(gres_conf.to_owned()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            };
            let conf = conf::load(std::path::Path::new("/c/slurm.conf"), &files).unwrap();
            let mut options = AgentOptions::new("n1", "c", "t", "s").unwrap();
            options.gres_source =
                crate::GresSource { lines: conf.gres, node: conf.cluster.nodes.first().cloned(), ..Default::default() };
            options.gres.counts = conf.cluster.nodes[0].hardware.gres.clone();
            options.report_hardware = report_hardware;
            let bytes = hardware(&options);
            (!bytes.is_empty()).then(|| document::decode::<Hardware>(&bytes, "hardware").unwrap())
        };
        let all = told("AutoDetect=nvidia\n", true).unwrap();
        assert!(all.cpus > 0 && all.memory.0 > 0 && all.gres.len() == 1);
        assert_eq!(told("AutoDetect=nvidia\n", false), Some(Hardware { gres: all.gres, ..Hardware::of_cpus(0) }));
        assert_eq!(told("Name=gpu File=/dev/null\n", false), None);
    }

    #[test]
    fn steps_of_a_later_version_are_not_mistaken() {
        assert_eq!(unit_key(&wire::UnitKey { job_id: 1, restart: 0, step: "dream".into() }), None);
    }
}
