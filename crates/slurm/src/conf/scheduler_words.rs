//! The words of `SchedulerParameters`: which of them act, so that none is taken in silence that decides something in Slurm and
//! nothing here. Real Slurm ignores words that it does not know; here the log names them.

use super::lines::Line;

/// What becomes of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It changes what is done.
    Acts,
    /// What it asks for is done always, or it bounds the time of loops that do not exist here.
    Needless,
    /// It would change something, and does not.
    NotActed,
}

use Standing::{Acts, Needless, NotActed};

/// The words of slurm.conf(5) of 22.05, and those of newer versions that sites use.
pub(crate) const WORDS: &[(&str, Standing)] = &[
    ("allow_zero_lic", NotActed),
    ("assoc_limit_stop", Acts),
    ("batch_sched_delay", Acts),
    ("bb_array_stage_cnt", NotActed),
    ("bf_busy_nodes", Acts),
    ("bf_continue", Needless),
    ("bf_hetjob_immediate", Needless),
    ("bf_hetjob_prio", Acts),
    ("bf_interval", Acts),
    ("bf_job_part_count_reserve", Acts),
    ("bf_licenses", Needless),
    ("bf_max_job_array_resv", Acts),
    ("bf_max_job_assoc", NotActed),
    ("bf_max_job_part", Acts),
    ("bf_max_job_start", Acts),
    ("bf_max_job_test", Acts),
    ("bf_max_job_user", Acts),
    ("bf_max_job_user_part", NotActed),
    ("bf_max_time", Needless),
    ("bf_min_age_reserve", Acts),
    ("bf_min_prio_reserve", Acts),
    ("bf_node_space_size", Needless),
    ("bf_one_resv_per_job", Needless),
    ("bf_resolution", Needless),
    ("bf_running_job_reserve", Needless),
    ("bf_window", Acts),
    ("bf_window_linear", Needless),
    ("bf_yield_interval", Needless),
    ("bf_yield_sleep", Needless),
    ("build_queue_timeout", Needless),
    ("correspond_after_task_cnt", Needless),
    ("default_queue_depth", Needless),
    ("defer", Needless),
    ("defer_batch", Needless),
    ("delay_boot", NotActed),
    ("disable_hetjob_steps", Acts),
    ("disable_job_shrink", Acts),
    ("enable_hetjob_steps", Needless),
    ("enable_user_top", Acts),
    ("ignore_numa", NotActed),
    ("ignore_prefer_validation", NotActed),
    ("kill_invalid_depend", Acts),
    ("max_array_tasks", NotActed),
    ("max_rpc_cnt", Needless),
    ("max_sched_time", Needless),
    ("max_script_size", Acts),
    ("max_switch_wait", Acts),
    ("no_backup_scheduling", Needless),
    ("no_env_cache", NotActed),
    ("nohold_on_prolog_fail", Acts),
    ("pack_serial_at_end", Acts),
    ("partition_job_depth", Needless),
    ("permit_job_expansion", Acts),
    ("preempt_reorder_count", NotActed),
    ("preempt_strict_order", NotActed),
    ("preempt_youngest_first", NotActed),
    ("reduce_completing_frag", NotActed),
    ("requeue_delay", Acts),
    ("requeue_setup_env_fail", NotActed),
    ("salloc_wait_nodes", NotActed),
    ("sbatch_wait_nodes", NotActed),
    ("sched_interval", Needless),
    ("sched_max_job_start", Acts),
    ("sched_min_interval", Needless),
    ("spec_cores_first", NotActed),
    ("step_retry_count", Needless),
    ("step_retry_time", Needless),
    ("whole_hetjob", Acts),
    ("whole_pack", Acts),
];

/// What is to be said of the words in `list`, which stands on `line`.
pub(super) fn remarks(line: &Line, list: &str) -> Vec<String> {
    let place = format!("{} line {}", line.file.display(), line.number);
    let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
    let remark = |word: &str| {
        let (name, value) = word.split_once('=').map_or((word, ""), |(name, value)| (name.trim(), value.trim()));
        let known = WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match known.map(|(known, standing)| (*known, *standing)) {
            None => Some(format!("SchedulerParameters={word} is not known ({place})")),
            // The loop that it would turn off does not exist: what it starts is started at once.
            Some(("sched_interval", _)) if value == "-1" => not_acted(word, &place),
            Some((_, NotActed)) => not_acted(word, &place),
            Some((_, Acts | Needless)) => None,
        }
    };
    words.filter_map(remark).collect()
}

fn not_acted(word: &str, place: &str) -> Option<String> {
    Some(format!("SchedulerParameters={word} is not acted on by this version ({place})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_order_and_named_once() {
        assert!(WORDS.is_sorted_by(|(one, _), (next, _)| one < next));
    }
}
