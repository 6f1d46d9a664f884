//! What `sacctmgr` says of settings that are kept and not acted on.

use muster_model::accounting::{AccountingChange, QosFlag};

/// Flags that change nothing yet.
const FLAGS: &[(QosFlag, &str)] = &[
    (QosFlag::NoReserve, "NoReserve"),
    (QosFlag::PartitionMaxNodes, "PartitionMaxNodes"),
    (QosFlag::PartitionMinNodes, "PartitionMinNodes"),
    (QosFlag::PartitionTimeLimit, "PartitionTimeLimit"),
    (QosFlag::Relative, "Relative"),
    (QosFlag::RequiresReservation, "RequiresReservation"),
];

/// A line for standard error for each such setting; nothing where there is none.
pub(super) fn left_out(changes: &[AccountingChange]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for change in changes {
        match change {
            AccountingChange::CreateQos { changes, .. } | AccountingChange::ModifyQos { changes, .. } => {
                let set = changes.flags.iter().flat_map(|flags| flags.items());
                names.extend(
                    set.filter_map(|flag| FLAGS.iter().find(|(known, _)| known == flag)).map(|(_, name)| *name),
                );
            }
            _ => {}
        }
    }
    names.iter().map(|name| format!("sacctmgr: {name} is kept, and not acted on by this version\n")).collect()
}
