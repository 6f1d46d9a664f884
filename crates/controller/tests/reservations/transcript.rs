//! Lines recorded from real Slurm 22.05 must print the same here.
//!
//! `$ COMMAND`, text, `[EXIT]`. `@ NEW TIME` begins with a cluster of its own, `@ TIME` lets time pass.

use crate::stage::{Stage, at};

#[test]
fn reservations_print_what_slurm_prints() {
    let mut stage = Stage::new("00:00:00", |_| {});
    let (mut command, mut expected) = (String::new(), String::new());
    let mut different = String::new();
    for line in include_str!("slurm.txt").lines() {
        if let Some(time) = line.strip_prefix("@ NEW ") {
            stage = Stage::new(time, |_| {});
        } else if let Some(time) = line.strip_prefix("@ ") {
            stage.wait_until(at(time));
        } else if let Some(text) = line.strip_prefix("$ ") {
            (command, expected) = (text.to_owned(), String::new());
        } else if let Some(code) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let (actual, exit) = stage.run(&command);
            if actual != expected || exit.to_string() != code {
                different.push_str(&format!("$ {command}\nexpected [{code}]:\n{expected}actual [{exit}]:\n{actual}\n"));
            }
        } else if !line.starts_with('#') {
            expected.push_str(line);
            expected.push('\n');
        }
    }
    assert!(different.is_empty(), "{different}");
}
