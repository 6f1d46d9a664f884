//! What a pass took for starts that may yet come to nothing, so that it can be put back.

use muster_model::accounting::Tallies;
use muster_model::time::Timestamp;

use super::Pass;
use crate::exact::Taken;
use crate::free::Amounts;
use crate::licenses::Holdings;
use crate::people::People;
use crate::reservation::Started;

/// One node of a provisional start.
pub(super) struct Line {
    node: u32,
    until: Timestamp,
    amounts: Amounts,
    /// What was free before, and whether the node could be used.
    free: Amounts,
    was_usable: bool,
}

/// A state of a pass to come back to.
pub(super) struct Savepoint {
    units: Taken,
    tallies: Tallies,
    licenses: Option<Holdings>,
    people: Option<People>,
    reservations: Started,
}

impl Savepoint {
    /// From here on starts are provisional.
    pub(super) fn begin(pass: &mut Pass<'_>) -> Savepoint {
        pass.journal = Some(Vec::new());
        Savepoint {
            units: pass.units.clone(),
            tallies: pass.limits.tallies(),
            licenses: pass.licenses.clone(),
            people: pass.people.clone(),
            reservations: pass.reservations.started(),
        }
    }

    /// What was started since stays.
    pub(super) fn keep(self, pass: &mut Pass<'_>) {
        pass.journal = None;
    }

    /// Nothing was started since.
    pub(super) fn undo(self, pass: &mut Pass<'_>) {
        for line in pass.journal.take().unwrap_or_default().into_iter().rev() {
            pass.books.future.remove_started(line.until, line.node, &line.amounts);
            pass.books.free.set(line.node, &line.free);
            pass.books.changed.push(line.node);
            if line.was_usable {
                pass.books.usable.insert(line.node);
            }
        }
        pass.units = self.units;
        pass.limits.set_tallies(self.tallies);
        pass.licenses = self.licenses;
        pass.people = self.people;
        pass.reservations.set_started(self.reservations);
    }
}

impl Pass<'_> {
    /// Writes down what is about to be taken of `node`, where the start is provisional.
    pub(super) fn write_down(&mut self, node: u32, until: Timestamp, amounts: &Amounts) {
        if let Some(journal) = &mut self.journal {
            journal.push(Line {
                node,
                until,
                amounts: amounts.clone(),
                free: self.books.free.of(node),
                was_usable: self.books.usable.contains(node),
            });
        }
    }
}
