//! Blocked jobs that start beyond the window, without finding out when.
//!
//! Nothing is held for a start so far away ([`Budget::window`](crate::Budget)), so all that it can do is to be told. Where
//! nobody wants to be told, as in a replay, one number for each partition spares the search: how many CPUs are free at the
//! end of the window. A saturated queue has many jobs like that, and they are looked at in every pass.

use muster_model::preemption::PreemptType;

use super::start::Lack;
use super::{Case, Entry, Pass};
use crate::feasible::Verdict;

impl Pass<'_> {
    /// Whether a blocked job is sure to start beyond the window, and that is all there is to know of it. What is found is
    /// counted as any planned start.
    pub(super) fn is_beyond_window(&mut self, entry: Entry<'_>, cases: &[Case]) -> bool {
        let [case] = cases else { return false };
        if self.budget.expectations || !self.is_about_cpus(entry, case) {
            return false;
        }
        let Verdict::Possible(ask) = &*case.verdict else { return false };
        let wanted = ask.cpus_min();
        if wanted == 0 || wanted <= self.room_in_window(ask.partition) {
            return false;
        }
        if !self.may_plan(entry, case) || self.is_out_of_service(entry, case, ask) {
            return false;
        }
        #[cfg(debug_assertions)]
        {
            let found = self.earliest(entry, case, ask);
            let end = self.view.now + self.budget.window;
            assert!(found.is_some_and(|found| found.start > end), "job {} starts within the window", entry.job.id);
        }
        self.count_plan(entry, case);
        true
    }

    /// Whether nothing but resources decides when the job starts, and nobody goes by when that is.
    fn is_about_cpus(&mut self, entry: Entry<'_>, case: &Case) -> bool {
        let is_one = entry.task_index.is_none() && self.groups.places_of(entry.job.id).is_empty();
        let Verdict::Possible(ask) = &*case.verdict else { return false };
        is_one
            && case.lack == Lack::Busy
            && ask.licenses.is_empty()
            && ask.switches.is_none()
            && self.view.config.preemption.kind == PreemptType::None
            && self.view.reservations.is_empty()
            && !self.tables.fleet.has_quotas()
            && self.foretold.is_none()
            // What is provisional may be put back, and then there is more room.
            && self.journal.is_none()
            && self.know_people().is_all_alike()
    }

    /// CPUs of a partition that are free at the end of the window, planned starts aside. Starts make them only fewer, so the
    /// number does for all of a pass.
    fn room_in_window(&mut self, partition: u32) -> u64 {
        if let Some(room) = self.room_in_window.get(&partition) {
            return *room;
        }
        let end = self.view.now + self.budget.window;
        let mut nodes = self.tables.fleet.partition_nodes[partition as usize].clone();
        nodes.intersect(&self.books.in_service);
        let mut room: u64 = nodes.iter().map(|node| u64::from(self.books.free.cpus[node as usize])).sum();
        self.books.future.sort();
        self.books.future.pass_until(end, 0, |node, back| {
            room += if nodes.contains(node) { u64::from(back.cpus) } else { 0 };
        });
        self.room_in_window.insert(partition, room);
        room
    }
}
