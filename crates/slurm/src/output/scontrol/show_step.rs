//! `scontrol show step`: one record for each step that has not ended.

use muster_model::ids::StepId;
use muster_model::job::Job;
use muster_model::resources::GresScope;
use muster_model::step::Step;

use super::super::context::Context;
use super::super::job_text::{self, NULL};
use super::super::tres::{self, Amounts};
use super::record::Record;

/// The record of `step` of `job`.
pub fn print(step: &Step, job: &Job, context: &Context, one_line: bool) -> String {
    let mut record = Record::new(one_line);
    let id = format!("{}.{}", job_text::array_id(job, None, context), step.step_id);
    let limit = step.time_limit.map_or("UNLIMITED".to_owned(), |limit| limit.to_string());
    let start = job_text::time(step.start_time, "Unknown", context);
    record.line(format!("StepId={id} UserId={} StartTime={start} TimeLimit={limit}", job.spec.identity.uid));
    record.line(format!("State={} Partition={} NodeList={}", step.state, job.partition, step.node_list));
    let counted = matches!(step.step_id, StepId::Number(_));
    let amounts = Amounts {
        cpus: step.layout.iter().map(|node| u64::from(node.cpus.len())).sum(),
        nodes: step.layout.len() as u64,
        ..Amounts::default()
    };
    let cpus = if counted { amounts.cpus } else { 0 };
    record.line(format!(
        "Nodes={} CPUs={cpus} Tasks={} Name={} Network={NULL}",
        step.layout.len().max(1),
        step.tasks,
        step.name
    ));
    let memory: u64 = step.layout.iter().map(|node| node.memory.0).sum();
    let memory = super::super::units::megabytes(memory);
    record.line(match counted {
        true => format!("TRES=cpu={},mem={memory},node={}", amounts.cpus, amounts.nodes),
        false => format!("TRES={NULL}"),
    });
    record.line(format!("ResvPorts={NULL}"));
    let distribution = match counted {
        true if step.tasks as usize <= step.layout.len() => " Dist=Cyclic",
        true => " Dist=Block",
        false => "",
    };
    record.line(format!("CPUFreqReq=Default{distribution}"));
    let client = step.launch.as_ref().filter(|_| counted).and_then(|launch| launch.client_address.rsplit_once(':'));
    let process = step.launch.as_ref().filter(|_| counted).map(|launch| &launch.client_process);
    record.line(match (process, client) {
        (Some((host, pid)), _) if !host.is_empty() => format!("SrunHost:Pid={host}:{pid}"),
        (_, Some((host, _))) => format!("SrunHost:Pid={host}:0"),
        _ => format!("SrunHost:Pid={NULL}:0"),
    });
    record.optional("Container", job_text::container_of_step(step, job).as_deref());
    if counted {
        record.optional("TresPerNode", tres::requests(&job.spec.request.gres, GresScope::Node).as_deref());
    }
    record.finish(false)
}
