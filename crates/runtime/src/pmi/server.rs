//! The tasks of a step on one node: answers what can be answered here, and says what has to go through the hub.

use std::collections::BTreeMap;

use super::StepFacts;
use super::message::{Form, Malformed, Reader, Request, Text, answer};

/// Most bytes of values that a node keeps for one step. Libraries put a few hundred for each task.
const VALUES_BYTES_MAX: usize = 64 << 20;

/// Most bytes of values that the hub may bring for one step: those of the tasks of all nodes.
const HUB_BYTES_MAX: usize = 256 << 20;

/// Longest names and values, as real slurmstepd tells them.
const MAXES: [(&str, &str); 4] = [("rc", "0"), ("kvsname_max", "256"), ("keylen_max", "64"), ("vallen_max", "1024")];

/// Name of the value that tells which ranks share a node.
const PROCESS_MAPPING: &str = "PMI_process_mapping";

/// Number of the application among those that were started together: there is only one.
const APPLICATION: &str = "-1";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this to a task.
    Answer {
        /// Which task.
        rank: u32,
        /// What to send.
        bytes: Vec<u8>,
    },
    /// All tasks of the node have asked for a fence: give the hub these values and ask it for the fence.
    Fence(Vec<u8>),
    /// A task ends the step.
    Abort {
        /// Which task.
        rank: u32,
        /// What it said, for the error stream.
        message: String,
    },
    /// Tell the user in the error stream.
    Complain(String),
    /// The conversation with the task is over.
    Close {
        /// Which task.
        rank: u32,
    },
}

/// To whom and in which form an answer goes.
#[derive(Debug, Clone)]
struct Asker {
    rank: u32,
    form: Form,
    /// Of several threads that ask at the same time.
    thread: Option<Text>,
}

impl Asker {
    fn answer<V: AsRef<[u8]>>(&self, command: &str, pairs: &[(&str, V)]) -> Action {
        let mut all: Vec<(&str, &[u8])> = Vec::with_capacity(pairs.len() + 1);
        all.extend(self.thread.as_deref().map(|thread| ("thrid", thread)));
        all.extend(pairs.iter().map(|(name, value)| (*name, value.as_ref())));
        Action::Answer { rank: self.rank, bytes: answer(self.form, command, &all) }
    }
}

#[derive(Debug, Default)]
struct Task {
    reader: Reader,
    /// It has asked for a fence.
    at_fence: Option<Asker>,
}

/// Speaks with the tasks of one step on one node.
#[derive(Debug)]
pub struct Server {
    facts: StepFacts,
    tasks: BTreeMap<u32, Task>,
    values: BTreeMap<Text, Text>,
    node_values: BTreeMap<Text, Text>,
    /// Tasks that wait for a value of the node.
    waiting: Vec<(Text, Asker)>,
    /// Put since the last fence, for the hub.
    fresh: Vec<u8>,
    /// From the hub, for when the fence opens.
    coming: Vec<u8>,
    bytes: usize,
    /// All that the hub has brought.
    hub_bytes: usize,
}

impl Server {
    /// For the tasks of these ranks.
    pub fn new(facts: StepFacts, ranks: impl IntoIterator<Item = u32>) -> Server {
        let mut values = BTreeMap::new();
        if !facts.process_mapping.is_empty() {
            values.insert(PROCESS_MAPPING.into(), facts.process_mapping.clone().into_bytes());
        }
        Server {
            facts,
            tasks: ranks.into_iter().map(|rank| (rank, Task::default())).collect(),
            values,
            node_values: BTreeMap::new(),
            waiting: Vec::new(),
            fresh: Vec::new(),
            coming: Vec::new(),
            bytes: 0,
            hub_bytes: 0,
        }
    }

    /// A task has sent these bytes.
    pub fn take(&mut self, rank: u32, bytes: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(task) = self.tasks.get_mut(&rank) {
            task.reader.feed(bytes);
        }
        while let Some(task) = self.tasks.get_mut(&rank) {
            match task.reader.next() {
                Ok(Some(request)) => self.serve(rank, &request, &mut actions),
                Ok(None) => break,
                Err(Malformed) => {
                    actions.push(Action::Complain(format!("task {rank} does not keep to the protocol")));
                    actions.push(Action::Close { rank });
                    break;
                }
            }
        }
        actions
    }

    /// A part of the values of all nodes, from the hub; `false` when it is more than those can have put, and is dropped.
    pub fn add_values(&mut self, values: &[u8]) -> bool {
        self.hub_bytes = self.hub_bytes.saturating_add(values.len());
        let is_sound = self.hub_bytes <= HUB_BYTES_MAX;
        if is_sound {
            self.coming.extend_from_slice(values);
        }
        is_sound
    }

    /// The hub has opened the fence.
    pub fn pass_fence(&mut self) -> Vec<Action> {
        let values = std::mem::take(&mut self.coming);
        let mut words = values.split(|byte| *byte == 0);
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            self.values.insert(name.to_vec(), value.to_vec());
        }
        let waiting = self.tasks.values_mut().filter_map(|task| task.at_fence.take());
        let command = |form| if form == Form::Lines { "barrier_out" } else { "kvs-fence-response" };
        waiting.map(|asker| asker.answer(command(asker.form), &[("rc", "0")])).collect()
    }

    fn serve(&mut self, rank: u32, request: &Request, actions: &mut Vec<Action>) {
        let form = self.tasks.get(&rank).map_or(Form::Lines, |task| task.reader.form);
        let asker = Asker { rank, form, thread: request.get("thrid").map(<[u8]>::to_vec) };
        let command = String::from_utf8_lossy(&request.command).into_owned();
        match (form, command.as_str()) {
            (Form::Lines, "init") => actions.push(self.init(rank, &asker, request)),
            (Form::Lines, "barrier_in") | (Form::Frames, "kvs-fence") => self.fence(asker, actions),
            (_, "abort") => actions.push(abort(rank, request)),
            (Form::Lines, "put") => actions.push(self.put(&asker, "put_result", request)),
            (Form::Frames, "kvs-put") => actions.push(self.put(&asker, "kvs-put-response", request)),
            (Form::Frames, "info-putnodeattr") => self.put_node_value(&asker, request, actions),
            (Form::Frames, "info-getnodeattr") => actions.extend(self.node_value(asker, request)),
            _ => match self.fact(&asker, &command, request) {
                Some(answer) => actions.push(answer),
                None => refuse(&asker, &command, actions),
            },
        }
        if command == "finalize" {
            actions.push(Action::Close { rank });
        }
    }

    /// The first line tells which of the two protocols goes on.
    fn init(&mut self, rank: u32, asker: &Asker, request: &Request) -> Action {
        let (version, subversion) = match request.number("pmi_version") {
            Some(1) => ("1", "1"),
            Some(2) => ("2", "0"),
            _ => {
                return asker.answer("response_to_init", &[("rc", "1"), ("pmi_version", "2"), ("pmi_subversion", "0")]);
            }
        };
        if version == "2"
            && let Some(task) = self.tasks.get_mut(&rank)
        {
            task.reader.form = Form::Frames;
        }
        asker.answer("response_to_init", &[("rc", "0"), ("pmi_version", version), ("pmi_subversion", subversion)])
    }

    /// What can be told without changing anything.
    fn fact(&self, asker: &Asker, command: &str, request: &Request) -> Option<Action> {
        let (name, tasks) = (self.facts.step_name.as_str(), self.facts.tasks.to_string());
        let rank = asker.rank.to_string();
        let value = || self.values.get(request.get("key").unwrap_or_default());
        Some(match (asker.form, command) {
            (Form::Lines, "get_maxes") => asker.answer("maxes", &MAXES),
            (Form::Lines, "get_appnum") => asker.answer("appnum", &[("rc", "0"), ("appnum", APPLICATION)]),
            (Form::Lines, "get_universe_size") => asker.answer("universe_size", &[("rc", "0"), ("size", &tasks)]),
            (Form::Lines, "get_my_kvsname") => asker.answer("my_kvsname", &[("rc", "0"), ("kvsname", name)]),
            (Form::Lines, "get") => match value() {
                Some(value) => asker.answer("get_result", &[("rc", b"0".as_slice()), ("value", value)]),
                None => asker.answer("get_result", &[("rc", "1"), ("msg", "key_not_found")]),
            },
            (Form::Lines, "finalize") => asker.answer("finalize_ack", &[("rc", "0")]),
            (Form::Frames, "fullinit") => asker.answer(
                "fullinit-response",
                &[
                    ("rc", "0"),
                    ("pmi-version", "2"),
                    ("pmi-subversion", "0"),
                    ("rank", &rank),
                    ("size", &tasks),
                    ("appnum", APPLICATION),
                    ("debugged", "FALSE"),
                    ("pmiverbose", "FALSE"),
                ],
            ),
            (Form::Frames, "job-getid") => asker.answer("job-getid-response", &[("rc", "0"), ("jobid", name)]),
            (Form::Frames, "info-getjobattr") => {
                let known = match request.get("key") {
                    Some(b"universeSize") => Some(tasks.as_bytes()),
                    Some(key) if key == PROCESS_MAPPING.as_bytes() => value().map(Vec::as_slice),
                    _ => None,
                };
                found(asker, "info-getjobattr-response", known)
            }
            (Form::Frames, "kvs-get") => found(asker, "kvs-get-response", value().map(Vec::as_slice)),
            (Form::Frames, "finalize") => asker.answer("finalize-response", &[("rc", "0")]),
            _ => return None,
        })
    }

    fn put(&mut self, asker: &Asker, response: &str, request: &Request) -> Action {
        let (Some(name), Some(value)) = (request.get("key"), request.get("value")) else {
            return asker.answer(response, &[("rc", "1"), ("msg", "no_key_or_value")]);
        };
        let has_nul = name.contains(&0) || value.contains(&0);
        if has_nul || !self.has_room(name.len() + value.len()) {
            return asker.answer(response, &[("rc", "1"), ("msg", "value_not_kept")]);
        }
        for word in [name, value] {
            self.fresh.extend_from_slice(word);
            self.fresh.push(0);
        }
        self.values.insert(name.to_vec(), value.to_vec());
        asker.answer(response, &[("rc", "0")])
    }

    /// Counts what is put; `false` when it is too much.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= VALUES_BYTES_MAX
    }

    fn fence(&mut self, asker: Asker, actions: &mut Vec<Action>) {
        if let Some(task) = self.tasks.get_mut(&asker.rank) {
            task.at_fence = Some(asker);
        }
        if self.tasks.values().all(|task| task.at_fence.is_some()) {
            actions.push(Action::Fence(std::mem::take(&mut self.fresh)));
        }
    }

    fn put_node_value(&mut self, asker: &Asker, request: &Request, actions: &mut Vec<Action>) {
        let (name, value) = (request.get("key").unwrap_or_default(), request.get("value").unwrap_or_default());
        if !self.has_room(name.len() + value.len()) {
            return actions.push(asker.answer("info-putnodeattr-response", &[("rc", "1")]));
        }
        self.node_values.insert(name.to_vec(), value.to_vec());
        actions.push(asker.answer("info-putnodeattr-response", &[("rc", "0")]));
        let (served, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(wanted, _)| wanted == name);
        self.waiting = waiting;
        let served: Vec<(Text, Asker)> = served;
        actions.extend(served.iter().map(|(_, asker)| found(asker, "info-getnodeattr-response", Some(value))));
    }

    /// `None` while the task waits.
    fn node_value(&mut self, asker: Asker, request: &Request) -> Option<Action> {
        let name = request.get("key").unwrap_or_default();
        let value = self.node_values.get(name);
        if value.is_none() && request.get("wait") == Some(b"TRUE") {
            self.waiting.push((name.to_vec(), asker));
            return None;
        }
        Some(found(&asker, "info-getnodeattr-response", value.map(Vec::as_slice)))
    }
}

fn found(asker: &Asker, response: &str, value: Option<&[u8]>) -> Action {
    match value {
        Some(value) => {
            asker.answer(response, &[("rc", b"0".as_slice()), ("found", b"TRUE".as_slice()), ("value", value)])
        }
        None => asker.answer(response, &[("rc", "0"), ("found", "FALSE")]),
    }
}

fn abort(rank: u32, request: &Request) -> Action {
    let words = request.get("msg").or(request.get("error_msg")).or(request.get("exitcode")).unwrap_or_default();
    Action::Abort { rank, message: String::from_utf8_lossy(words).into_owned() }
}

/// What libraries expect as an answer to what is not done here, so that they can go on or say why not.
fn refuse(asker: &Asker, command: &str, actions: &mut Vec<Action>) {
    let version = if asker.form == Form::Lines { 1 } else { 2 };
    actions.push(Action::Complain(format!("PMI{version} request of '{command}' not supported")));
    let response = match (asker.form, command) {
        (Form::Frames, _) => format!("{command}-response"),
        (_, "getbyidx") => "getbyidx_results".to_owned(),
        (_, "publish_name") => "publish_result".to_owned(),
        (_, "unpublish_name") => "unpublish_result".to_owned(),
        (_, "lookup_name") => "lookup_result".to_owned(),
        (_, "create_kvs") => "newkvs".to_owned(),
        (_, "destroy_kvs") => "kvs_destroyed".to_owned(),
        _ => format!("{command}_result"),
    };
    let words = if asker.form == Form::Lines { "msg" } else { "errmsg" };
    actions.push(asker.answer(&response, &[("rc", "1"), (words, "not_supported")]));
}

#[cfg(test)]
mod tests;
