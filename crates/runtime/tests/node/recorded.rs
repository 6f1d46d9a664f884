//! What earlier versions said can be read: a supervisor of theirs serves an agent of ours, and the other way round.

use muster_runtime::protocol::{Notice, PROTOCOL_OLDEST, PROTOCOL_VERSION, Request};

/// What was said in each version, by a program of that time: requests after `R`, notices after `N`.
const RECORDED: &[(u32, &str)] = &[(1, include_str!("../protocol/version-1.txt"))];

#[test]
fn what_each_version_said_can_still_be_read() {
    let versions: Vec<u32> = RECORDED.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (PROTOCOL_OLDEST..=PROTOCOL_VERSION).collect::<Vec<_>>(), "each has its record");
    for (version, text) in RECORDED {
        for line in text.lines() {
            let (who, document) = line.split_once(' ').expect("a word and a document");
            // What was there comes out again: nothing of it was passed over or renamed.
            let again = match who {
                "R" => serde_json::from_str::<Request>(document).map(serde_json::to_value),
                _ => serde_json::from_str::<Notice>(document).map(serde_json::to_value),
            };
            let again = again.unwrap_or_else(|error| panic!("version {version}: {error}: {line}")).expect("JSON");
            let recorded: serde_json::Value = serde_json::from_str(document).expect("JSON");
            assert!(contains(&again, &recorded), "version {version}: {line}\nbecame {again}");
        }
    }
}

#[test]
fn a_supervisor_from_before_measuring_tells_processes() {
    let told = r#"{"sampled":{"units":[{"key":{"j":12,"r":0,"s":"batch"},"usage":{"user_cpu_us":1,"system_cpu_us":2,"rss_kb_max":3},"pids":[16031]}]}}"#;
    let Ok(Notice::Sampled { number: 0, units }) = serde_json::from_str(told) else { panic!("{told}") };
    assert_eq!((units[0].pids.as_slice(), units[0].measured.tasks), ([16031].as_slice(), 0));
}

/// Whether all of `part` stands in `whole`.
fn contains(whole: &serde_json::Value, part: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Object};
    match (whole, part) {
        (Object(whole), Object(part)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|own| contains(own, value)))
        }
        (Array(whole), Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(own, value)| contains(own, value))
        }
        _ => whole == part,
    }
}
