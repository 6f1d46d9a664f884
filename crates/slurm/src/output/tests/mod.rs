//! Replays transcripts of real Slurm 22.05: the same command lines, on a cluster built to look the same, must print
//! the same bytes.
//!
//! Each file of transcripts has entries `$ COMMAND`, `--- stdout`, text, `--- stderr`, text, `--- exit N`, and lines
//! `@ SCENE TIME` that say on which scene and at what time of day the entries that follow were recorded.

mod replay;
mod scene_busy;
mod scene_history;
mod scene_nodes;
mod scene_records;
mod scene_shares;
mod scene_statistics;
pub(super) mod scenes;

use replay::replay;

#[test]
fn squeue_prints_what_slurm_prints() {
    replay(include_str!("squeue.txt"));
}

#[test]
fn sinfo_prints_what_slurm_prints() {
    replay(include_str!("sinfo.txt"));
}

#[test]
fn scontrol_prints_what_slurm_prints() {
    replay(include_str!("scontrol.txt"));
}

#[test]
fn sacct_prints_what_slurm_prints() {
    replay(include_str!("sacct.txt"));
}

#[test]
fn sprio_prints_what_slurm_prints() {
    replay(include_str!("sprio.txt"));
}

#[test]
fn sshare_prints_what_slurm_prints() {
    replay(include_str!("sshare.txt"));
}

#[test]
fn sdiag_prints_what_slurm_prints() {
    replay(include_str!("sdiag.txt"));
}

#[test]
fn scancel_complains_as_slurm_does() {
    replay(include_str!("scancel.txt"));
}

#[test]
fn bad_input_is_refused_as_slurm_refuses_it() {
    replay(include_str!("errors.txt"));
}

#[test]
fn documents_of_jobs_have_the_shape_that_clients_read() {
    let scene = scenes::scene("history");
    let row: Vec<_> = scene.history.iter().filter(|row| row.job.id.0 == 533).collect();
    let answers = super::Answers::default();
    let environment = super::Environment::new();
    let context = super::Context::new(scenes::at("08:30:00"), jiff::tz::TimeZone::UTC, &environment, scenes::root());
    let text = super::json::history(&row, &answers, &context);
    let document: serde_json::Value = serde_json::from_str(&text).expect("a document");
    let job = &document["jobs"][0];
    assert_eq!(document["errors"], serde_json::json!([]));
    assert_eq!((&job["job_id"], &job["state"]["current"]), (&serde_json::json!(533), &serde_json::json!("FAILED")));
    assert_eq!(job["exit_code"]["signal"]["signal_id"], serde_json::json!(9));
    assert_eq!(job["steps"][0]["step"]["id"], serde_json::json!("batch"));
}

#[test]
fn conditions_of_scancel_choose_records() {
    let scene = scenes::scene("busy");
    let environment = super::Environment::new();
    let context = super::Context::new(scenes::at("08:00:00"), jiff::tz::TimeZone::UTC, &environment, scenes::root());
    let check = |line: &str, expected: &str| {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let scancel = super::scancel::Scancel::new(&args, &environment, &context).expect("a good line");
        let answers = super::Answers { jobs: scene.jobs.clone(), ..super::Answers::default() };
        let kills = scancel.kills(&answers, &context);
        let names = kills.iter().map(|kill| match &kill.request.target {
            target if target.tasks.is_some() => {
                format!("{}_[{}]", target.job_id, target.tasks.clone().unwrap_or_default())
            }
            target => target.job_id.to_string(),
        });
        assert_eq!(names.collect::<Vec<_>>().join(" "), expected, "{line}");
    };
    check("-n arr", "2_[0] 2_[1] 2_[2-3]");
    check("-n arr -t pending", "2_[2-3]");
    check("-p batch", "4 5");
    check("-t suspended", "30");
    check("-n nosuch", "");
}

#[test]
fn long_lists_of_tasks_are_cut() {
    let environment = super::Environment::from([("SLURM_BITSTR_LEN".to_owned(), "20".to_owned())]);
    let context = super::Context::new(scenes::at("08:00:00"), jiff::tz::TimeZone::UTC, &environment, scenes::root());
    let job =
        scenes::job(9, "long", "07:00:00", |job, spec| scenes::waiting(job, spec, "1,3,5,7,9,11,13,15,17", Some(2)));
    let shown = super::job_text::array_id(&job, None, &context);
    assert_eq!(shown, "9_[1,3,5,7,9,11,13,...%2]");
}
