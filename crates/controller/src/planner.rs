//! The threads on which the scheduler works, always on copies of the state.
//!
//! A pass over the whole queue can take longer than a job should wait for a node that is free. So most passes of a large
//! cluster look only at what has changed. One over everything is made now and then, so often that it takes a small part of
//! the time, by a thread of its own; see [`Planners`] for how the two come together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_core::Event;
use muster_model::planning::{Outlook, Plan, PlanView};
use muster_sched::{Budget, Planner, Planners};
use tokio::sync::mpsc;

use crate::giving_way::GivingWay;
use crate::inbox::Inbox;
use crate::niceness;
use crate::pace::{Pace, Planning};
use crate::statistics::Meters;

/// A pass over everything that takes no longer than this is made each time.
const FULL_PASS_CHEAP: Duration = Duration::from_millis(5);
/// Otherwise it is made again after so many times the time it took.
const REST_FACTOR: u32 = 10;
/// The longest rest between two passes.
const REST_MAX: Duration = Duration::from_millis(100);
/// What long passes have said that is kept: the last one, which readers see, and the one before, which some may still see.
/// So it is this thread that takes them apart in the end, entry by entry, and not one that somebody waits for.
const OUTLOOKS_KEPT: usize = 2;

/// A planner for questions (`--test-only`, checks at submit), apart from those that plan.
pub(crate) type Adviser = Arc<Mutex<Planner>>;

/// A pass over everything, to be made.
pub(crate) struct LongPass {
    planner: Planner,
    view: PlanView,
    budget: Budget,
}

/// The same when it has been made.
pub(crate) struct Finished {
    planner: Planner,
    plan: Plan,
    began: Instant,
    took: Duration,
}

/// The ends of the channels with which the thread of the quick passes works.
pub(crate) struct Ends {
    /// From the sequencer, which waits for a plan after each.
    pub views: mpsc::Receiver<PlanView>,
    pub inbox: Inbox,
    pub long_passes: mpsc::Sender<LongPass>,
    pub finished: mpsc::Receiver<Finished>,
    pub meters: Meters,
    pub pace: Pace,
}

/// Makes long passes until nobody wants any more.
pub(crate) async fn run_long_passes(mut wanted: mpsc::Receiver<LongPass>, finished: mpsc::Sender<Finished>) {
    niceness::of_long_passes();
    while let Some(LongPass { mut planner, view, budget }) = wanted.recv().await {
        let began = Instant::now();
        let giving_way = GivingWay::begin();
        let plan = planner.plan(&view, &budget);
        drop(view);
        drop(giving_way);
        if finished.send(Finished { planner, plan, began, took: began.elapsed() }).await.is_err() {
            return;
        }
    }
}

/// Plans until the sequencer is gone.
pub(crate) async fn run(ends: Ends) {
    niceness::of_quick_passes();
    let desk = Desk {
        ends,
        planners: Planners::new(),
        full: FullPasses::default(),
        done: None,
        outlooks: VecDeque::with_capacity(OUTLOOKS_KEPT + 1),
    };
    desk.run().await;
}

/// What the thread of the quick passes works with.
struct Desk {
    ends: Ends,
    planners: Planners,
    full: FullPasses,
    /// A long pass that has been made and waits for the next view.
    done: Option<Finished>,
    outlooks: VecDeque<Outlook>,
}

/// What comes next.
enum Next {
    View(Box<PlanView>),
    Finished(Box<Finished>),
    /// It is time for a pass over everything though nothing has changed.
    Due,
    Gone,
}

impl Desk {
    /// Rests after each pass for as long as the pass took, so that what comes meanwhile is looked at together.
    async fn run(mut self) {
        loop {
            match self.next().await {
                Next::Gone => return,
                Next::View(view) => {
                    self.ends.pace.work().await;
                    let began = Instant::now();
                    let giving_way = GivingWay::begin();
                    let plan = self.plan(&view);
                    drop(view);
                    drop(giving_way);
                    let took = began.elapsed();
                    self.ends.meters.count_pass(took, plan.figures, plan.is_partial);
                    if self.ends.inbox.send(Event::Plan(plan).into()).await.is_err() {
                        return;
                    }
                    if took > Duration::from_millis(1) {
                        tokio::time::sleep(took.min(REST_MAX)).await;
                    }
                }
                Next::Finished(done) => {
                    self.ends.meters.count_pass(done.took, done.plan.figures, false);
                    self.full.note_full(done.began, done.took);
                    self.done = Some(*done);
                    if self.ask_for_view().await.is_err() {
                        return;
                    }
                }
                Next::Due => {
                    if self.ask_for_view().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> Next {
        let is_away = self.planners.has_lent() || self.done.is_some();
        let due_in = self.full.due_in(self.ends.pace.get()).filter(|_| !is_away);
        tokio::select! {
            biased;
            Some(done) = self.ends.finished.recv() => Next::Finished(Box::new(done)),
            view = self.ends.views.recv() => view.map_or(Next::Gone, |view| Next::View(Box::new(view))),
            () = tokio::time::sleep(due_in.unwrap_or(REST_MAX)), if due_in.is_some() => Next::Due,
        }
    }

    async fn ask_for_view(&mut self) -> Result<(), ()> {
        self.full.asked = true;
        self.ends.inbox.send(Event::PlanWanted.into()).await.map_err(drop)
    }

    /// What is to be done as `view` shows things.
    fn plan(&mut self, view: &PlanView) -> Plan {
        let budget = Budget::of(&view.config);
        self.full.asked = false;
        if self.planners.has_lent() && self.ends.long_passes.is_closed() {
            // Its thread is gone, and a planner with it: this one does all the work from now on.
            self.planners = Planners::new();
        }
        if let Some(done) = self.done.take() {
            let plan = self.planners.take_back(done.planner, &done.plan, view, &budget);
            self.keep_outlook(&plan);
            self.full.is_overdue = self.planners.is_alone_next();
            // Where nothing has happened meanwhile there is nothing more to look at.
            self.full.partial_since = plan.says_not_all();
            return plan;
        }
        if !self.full.is_due(Instant::now(), self.ends.pace.get()) || self.planners.has_lent() {
            return self.plan_changes(view, &budget);
        }
        let is_alone = self.full.is_cheap() || self.ends.pace.get() == Planning::AlwaysAlone;
        let planner = if is_alone { None } else { self.planners.lend(view) };
        let Some(planner) = planner else { return self.plan_all(view, &budget) };
        let long_pass = LongPass { planner, view: view.clone(), budget };
        match self.ends.long_passes.try_send(long_pass) {
            Ok(()) => self.plan_changes(view, &budget),
            Err(_) => self.plan_all(view, &budget),
        }
    }

    fn plan_changes(&mut self, view: &PlanView, budget: &Budget) -> Plan {
        let began = Instant::now();
        let plan = self.planners.quick(view, budget);
        self.full.partial_since = plan.is_partial;
        if !plan.is_partial {
            self.full.note_full(began, began.elapsed());
            self.keep_outlook(&plan);
        }
        plan
    }

    fn plan_all(&mut self, view: &PlanView, budget: &Budget) -> Plan {
        let began = Instant::now();
        let plan = self.planners.alone(view, budget);
        self.full.partial_since = false;
        self.full.note_full(began, began.elapsed());
        self.keep_outlook(&plan);
        plan
    }

    fn keep_outlook(&mut self, plan: &Plan) {
        self.outlooks.push_back(plan.outlook.clone());
        if self.outlooks.len() > OUTLOOKS_KEPT {
            self.outlooks.pop_front();
        }
    }
}

/// When the next pass over everything is due.
#[derive(Debug, Default)]
struct FullPasses {
    /// When the last one began, and how long it took.
    last: Option<(Instant, Duration)>,
    /// The last pass looked at a part only.
    partial_since: bool,
    /// The last long pass could not be used.
    is_overdue: bool,
    /// The sequencer was asked for a view.
    asked: bool,
}

impl FullPasses {
    fn is_cheap(&self) -> bool {
        self.last.is_some_and(|(_, took)| took <= FULL_PASS_CHEAP)
    }

    fn next(&self, pace: Planning) -> Option<Instant> {
        let (began, took) = self.last.filter(|_| !self.is_overdue && !self.is_cheap())?;
        let is_always = matches!(pace, Planning::Always | Planning::AlwaysAlone);
        Some(if is_always { began } else { began + took * (REST_FACTOR + 1) })
    }

    fn is_due(&self, now: Instant, pace: Planning) -> bool {
        self.next(pace).is_none_or(|next| next <= now)
    }

    /// How long to wait at most before a pass over everything is made even if nothing happens.
    fn due_in(&self, pace: Planning) -> Option<Duration> {
        if self.asked || !self.partial_since {
            return None;
        }
        let next = self.next(pace);
        Some(next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now())))
    }

    fn note_full(&mut self, began: Instant, took: Duration) {
        self.last = Some((began, took));
        self.is_overdue = false;
    }
}
