//! What really happened, and what must be true of it whatever failed: the promises of the failure model.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::fact::Fact;
use muster_model::ids::{JobId, NodeIndex, RestartCount, StepId};
use muster_model::job::{Job, JobKind};
use muster_model::resources::IndexSet;
use muster_model::state::{ExitStatus, JobState, Reason, Usage};
use muster_model::step::Step;
use muster_runtime::unit::UnitKey;

use crate::supervisor::{Launch, UnitReport};
use crate::world::World;

/// What nobody in the simulation knows as a whole.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    acknowledged: BTreeSet<JobId>,
    started: BTreeSet<(NodeIndex, UnitKey)>,
    /// Where the script of each start of a job with one script ran.
    scripts: BTreeMap<(JobId, RestartCount), NodeIndex>,
    ended: BTreeMap<(NodeIndex, UnitKey), Ended>,
    holders_said: BTreeMap<JobId, Vec<ExitStatus>>,
}

#[derive(Debug, Clone)]
struct Ended {
    exit: ExitStatus,
    usage: Usage,
    never_ran: bool,
    out_of_memory: bool,
    /// The only record of it was on a disk that is gone. The controller may have been told before.
    lost: bool,
}

impl Truth {
    pub(crate) fn unit_ended(&mut self, node: NodeIndex, key: UnitKey, report: &UnitReport) {
        let ended = Ended {
            exit: report.exit,
            usage: report.usage,
            never_ran: report.failure.is_some(),
            out_of_memory: report.out_of_memory,
            lost: false,
        };
        self.ended.insert((node, key), ended);
    }

    /// A disk is gone, and with it what only it knew.
    pub(crate) fn ends_lost(&mut self, node: NodeIndex, keys: impl Iterator<Item = UnitKey>) {
        for key in keys {
            if let Some(ended) = self.ended.get_mut(&(node, key)) {
                ended.lost = true;
            }
        }
    }

    /// The client of an allocation is about to tell how it ended.
    pub(crate) fn holder_said(&mut self, job_id: JobId, exit: ExitStatus) {
        self.holders_said.entry(job_id).or_default().push(exit);
    }
}

impl World {
    /// A user was told the number of a new job: it must be on the disk by then.
    pub(crate) fn acknowledged(&mut self, job_id: JobId) {
        self.truth.acknowledged.insert(job_id);
        if self.store.job(job_id).is_none() {
            self.fail(format!("job {job_id} was acknowledged before it was durable"));
        }
    }

    /// No acknowledged job is ever lost.
    pub(crate) fn check_nothing_lost(&mut self) {
        if let Some(lost) = self.truth.acknowledged.iter().find(|id| self.store.job(**id).is_none()) {
            self.fail(format!("job {lost} was acknowledged and is lost"));
        }
    }

    /// Nothing is started twice, and no CPU is used by more jobs, or starts of one, than may share it.
    pub(crate) fn check_start(&mut self, node: NodeIndex, key: UnitKey, launch: &Launch) {
        if !self.truth.started.insert((node, key)) {
            self.fail(format!("{key} is started twice on node {}", node.0));
        }
        if key.step == StepId::Batch && launch.job.spec.kind == JobKind::Batch {
            let before = self.truth.scripts.insert((key.job_id, key.restart), node);
            if before.is_some_and(|before| before != node) {
                self.fail(format!("the script {key} is started on a second node"));
            }
        }
        let Some(share) = launch.job.allocation.as_ref().and_then(|allocation| allocation.share(node)) else {
            return;
        };
        if launch.job.state == JobState::Suspended {
            // It stands as soon as it is there.
            return;
        }
        let cpus = share.cpus.clone();
        self.check_cpus(node, key, &cpus, self.jobs_on_a_cpu_max(&launch.job));
    }

    /// What goes on after it stood meets nobody, unless an operator wanted it so.
    pub(crate) fn check_runs(&mut self, node: NodeIndex, key: UnitKey) {
        let most = match self.store.job(key.job_id) {
            Some(job) if job.restart == key.restart => self.jobs_on_a_cpu_max(job),
            _ => return,
        };
        let process = self.nodes[node.0 as usize].supervisor.running.get(&key);
        let Some(cpus) = process.map(|process| process.cpus.clone()) else { return };
        self.check_cpus(node, key, &cpus, most);
    }

    /// Fails where `key` runs on one of `cpus` together with more jobs than may be there with it. Who stands does not count,
    /// nor who is ending after he stood, nor what an operator has resumed over others.
    fn check_cpus(&mut self, node: NodeIndex, key: UnitKey, cpus: &IndexSet, jobs_max: usize) {
        let runs_over = |id: JobId| self.store.job(id).is_some_and(|job| job.runs_over);
        if runs_over(key.job_id) {
            return;
        }
        let running = &self.nodes[node.0 as usize].supervisor.running;
        let others: Vec<_> = running
            .iter()
            .filter(|(other, _)| (other.job_id, other.restart) != (key.job_id, key.restart))
            .filter(|(_, process)| !process.cpus.is_disjoint(cpus))
            .filter(|(other, process)| !process.is_stopped() && !process.gave_way && !runs_over(other.job_id))
            .collect();
        let on = |cpu: u32| -> BTreeSet<(JobId, RestartCount)> {
            let there = others.iter().filter(|(_, process)| process.cpus.contains(cpu));
            there.map(|(other, _)| (other.job_id, other.restart)).collect()
        };
        let most = cpus.iter().map(|cpu| on(cpu).len()).max().unwrap_or(0);
        if most >= jobs_max {
            let names: Vec<String> = others.iter().map(|(other, _)| other.to_string()).collect();
            let names = names.join(", ");
            self.fail(format!("{key} runs on CPUs {cpus} of node {}, on which {names} run", node.0));
        }
    }

    /// How many jobs may be on a CPU of `job`, which may share with others of its partition.
    fn jobs_on_a_cpu_max(&self, job: &Job) -> usize {
        let sharing = job.spec.request.sharing;
        let partition = self.config.partitions.iter().find(|partition| partition.name == job.partition);
        let rows = partition.map_or(1, |own| own.over_subscribe.rows(sharing, false));
        // Those who take turns are there one at a time.
        if self.config.preemption.gang { 1 } else { rows as usize }
    }

    /// What is written down about ended jobs and steps is what happened.
    pub(crate) fn check_facts(&mut self, facts: &[Fact]) {
        for fact in facts {
            let problem = match fact {
                Fact::Job(job) if job.state.is_final() && !job.completing => self.wrong_about_job(job),
                Fact::Step(step) if step.state.is_final() => self.wrong_about_step(step),
                _ => None,
            };
            if let Some(problem) = problem {
                self.fail(problem);
            }
        }
    }

    fn end_of(&self, node: NodeIndex, job: &Job) -> Option<&Ended> {
        let key = UnitKey { job_id: job.id, restart: job.restart, step: StepId::Batch };
        self.truth.ended.get(&(node, key))
    }

    fn wrong_about_job(&self, job: &Job) -> Option<String> {
        if job.is_led() {
            // It ends as its leader does, which is looked at.
            return None;
        }
        let says = format!("job {}.{} is said to be {} with {}", job.id, job.restart.0, job.state, job.exit);
        if job.state == JobState::Timeout {
            let limit = job.time_limit.span();
            let ran = job.run_time(self.now);
            return limit.is_none_or(|limit| ran < limit).then(|| format!("{says} after {} ms only", ran.0));
        }
        if !matches!(job.state, JobState::Completed | JobState::Failed | JobState::OutOfMemory) {
            return None;
        }
        let nodes: Vec<NodeIndex> =
            job.allocation.iter().flat_map(|held| &held.shares).map(|share| share.node).collect();
        let ends: Vec<Option<&Ended>> = match job.spec.kind {
            JobKind::Allocation => {
                let said = self.truth.holders_said.get(&job.id).is_some_and(|said| said.contains(&job.exit));
                // One that gave all that it had to another ended by that; the other may have started anew since, or be forgotten.
                let may_be_given = job.spec.dependencies.expanded().is_some() && job.exit.is_success();
                return (!said && !may_be_given).then(|| format!("{says}, but its client did not say so"));
            }
            JobKind::Batch => nodes.iter().take(1).map(|node| self.end_of(*node, job)).collect(),
            JobKind::EveryNode => nodes.iter().map(|node| self.end_of(*node, job)).collect(),
        };
        let ended = || ends.iter().flatten();
        let right = match job.state {
            JobState::Completed => {
                ends.iter().all(|end| end.is_some_and(|end| end.exit.is_success() && !end.never_ran))
                    && job.exit.is_success()
            }
            JobState::OutOfMemory => ended().any(|end| end.out_of_memory),
            _ if job.reason == Reason::JobLaunchFailure => ended().any(|end| end.never_ran),
            _ => !job.exit.is_success() && ended().any(|end| end.exit == job.exit && !end.never_ran),
        };
        (!right).then(|| format!("{says}, but its scripts ended as {ends:?}"))
    }

    fn wrong_about_step(&self, step: &Step) -> Option<String> {
        let StepId::Number(_) = step.step_id else {
            return None;
        };
        if !matches!(step.state, JobState::Completed | JobState::Failed) {
            return None;
        }
        let key = UnitKey { job_id: step.job_id, restart: step.restart, step: step.step_id };
        let ends: Vec<Option<&Ended>> = step.layout.iter().map(|on| self.truth.ended.get(&(on.node, key))).collect();
        let says = || {
            format!(
                "step {key} is said to be {} with {} after {:?}, but ended as {ends:?}",
                step.state, step.exit, step.usage
            )
        };
        if ends.iter().flatten().any(|end| end.lost) {
            return None;
        }
        let all_known = ends.iter().all(Option::is_some);
        let succeeded = ends.iter().all(|end| end.is_some_and(|end| end.exit.is_success() && !end.never_ran));
        if (step.state == JobState::Completed) != succeeded {
            return Some(says());
        }
        let any_failure = ends.iter().any(|end| end.is_none_or(|end| end.never_ran));
        let mut exit = ExitStatus::SUCCESS;
        let mut usage = Usage::default();
        for end in ends.iter().flatten() {
            exit = exit.worse(end.exit);
            usage.add(end.usage);
        }
        let right = if any_failure { !step.exit.is_success() } else { step.exit == exit };
        (!right || (all_known && step.usage != usage)).then(says)
    }
}
