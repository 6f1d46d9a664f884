//! The middle of a step: fences of its nodes, questions from one to another, and what its tasks publish.
//!
//! Without input or output of its own: it takes the bytes of a node and says what is to be done.

use std::collections::{BTreeMap, VecDeque};

use super::message::{Decoder, Head, Malformed, Message};

/// Codes of the library.
const SUCCESS: i32 = 0;
const ERR_NOT_FOUND: i32 = -46;
const ERR_DUPLICATE_KEY: i32 = -53;
const ERR_NO_MEMORY: i32 = -32;

/// Most bytes that the tasks of a step may have published at a time.
const PUBLISHED_BYTES_MAX: usize = 64 << 20;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubAction {
    /// Send these bytes to the server of a node.
    Send {
        /// Its name.
        node: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A task ends the step and wants it to have this exit code.
    Abort {
        /// The task.
        rank: u32,
        /// Exit code.
        status: i32,
        /// Its words.
        message: String,
    },
    /// A task has gone without taking leave; what waits for it would wait for ever.
    Lost {
        /// The task.
        rank: u32,
        /// Code of the library.
        status: i32,
    },
}

/// A value with who published it.
#[derive(Debug)]
struct Published {
    rank: u32,
    value: Vec<u8>,
    /// It is gone when it has been found.
    once: bool,
}

/// A lookup that waits for values to be published.
#[derive(Debug)]
struct Lookup {
    node: String,
    token: u64,
    names: Vec<String>,
    wait: usize,
}

/// For one step.
#[derive(Debug, Default)]
pub struct Hub {
    decoders: BTreeMap<String, Decoder>,
    /// What each node has brought to the fences of a group, in order.
    fences: BTreeMap<String, BTreeMap<String, VecDeque<Vec<u8>>>>,
    published: BTreeMap<String, Published>,
    published_bytes: usize,
    lookups: Vec<Lookup>,
}

impl Hub {
    /// The server of a node has sent these bytes.
    ///
    /// # Errors
    /// They are no messages.
    pub fn take(&mut self, node: &str, bytes: &[u8]) -> Result<Vec<HubAction>, Malformed> {
        self.decoders.entry(node.to_owned()).or_default().feed(bytes);
        let mut actions = Vec::new();
        while let Some(message) = self.decoders.get_mut(node).map_or(Ok(None), Decoder::next_message)? {
            self.serve(node, message, &mut actions);
        }
        Ok(actions)
    }

    fn serve(&mut self, node: &str, message: Message, actions: &mut Vec<HubAction>) {
        let Message { head, data } = message;
        match head {
            Head::Fence { group, nodes } => self.fence(node, group, nodes as usize, data, actions),
            Head::Ask { ref to, .. } | Head::Answer { ref to, .. } => {
                let to = to.clone();
                actions.push(send(&to, head, data));
            }
            Head::Publish { token, rank, values, once } => {
                let status = self.publish(rank, &values, once, &data);
                actions.push(send(node, Head::Found { token, status, values: Vec::new() }, Vec::new()));
                self.serve_lookups(actions);
            }
            Head::Lookup { token, names, wait } => {
                let lookup = Lookup { node: node.to_owned(), token, names, wait: wait as usize };
                match self.answer(&lookup) {
                    Some(answer) => actions.push(answer),
                    None => self.lookups.push(lookup),
                }
            }
            Head::Forget { token } => self.lookups.retain(|lookup| lookup.node != node || lookup.token != token),
            Head::Unpublish { token, rank, names } => {
                self.unpublish(rank, &names);
                actions.push(send(node, Head::Found { token, status: SUCCESS, values: Vec::new() }, Vec::new()));
            }
            Head::Abort { rank, status, message } => actions.push(HubAction::Abort { rank, status, message }),
            Head::Lost { rank, status } => actions.push(HubAction::Lost { rank, status }),
            // Said to others only.
            Head::Setup(_) | Head::Ready(_) | Head::Failed(_) | Head::Fenced { .. } | Head::Found { .. } => {}
        }
    }

    fn fence(&mut self, node: &str, group: String, nodes: usize, data: Vec<u8>, actions: &mut Vec<HubAction>) {
        let waiting = self.fences.entry(group.clone()).or_default();
        waiting.entry(node.to_owned()).or_default().push_back(data);
        if waiting.len() < nodes {
            return;
        }
        let all: Vec<u8> = waiting.values_mut().filter_map(VecDeque::pop_front).flatten().collect();
        let fenced = Message { head: Head::Fenced { group: group.clone() }, data: all }.encode();
        let names = waiting.keys().cloned();
        actions.extend(names.map(|node| HubAction::Send { node, bytes: fenced.clone() }));
        waiting.retain(|_, brought| !brought.is_empty());
        if waiting.is_empty() {
            self.fences.remove(&group);
        }
    }

    fn publish(&mut self, rank: u32, values: &[(String, u32)], once: bool, data: &[u8]) -> i32 {
        if values.iter().any(|(name, _)| self.published.contains_key(name)) {
            return ERR_DUPLICATE_KEY;
        }
        if self.published_bytes.saturating_add(data.len()) > PUBLISHED_BYTES_MAX {
            return ERR_NO_MEMORY;
        }
        let mut rest = data;
        for (name, length) in values {
            let (value, behind) = rest.split_at_checked(*length as usize).unwrap_or((rest, &[]));
            rest = behind;
            self.published_bytes += value.len();
            self.published.insert(name.clone(), Published { rank, value: value.to_vec(), once });
        }
        SUCCESS
    }

    fn unpublish(&mut self, rank: u32, names: &[String]) {
        self.published.retain(|name, published| published.rank != rank || !names.is_empty() && !names.contains(name));
        self.published_bytes = self.published.values().map(|published| published.value.len()).sum();
    }

    /// `None` while it waits.
    fn answer(&mut self, lookup: &Lookup) -> Option<HubAction> {
        let found = lookup.names.iter().filter_map(|name| Some((name, self.published.get(name)?)));
        let found: Vec<(&String, &Published)> = found.collect();
        if found.len() < lookup.wait.min(lookup.names.len()) {
            return None;
        }
        let status = if found.is_empty() { ERR_NOT_FOUND } else { SUCCESS };
        let values =
            found.iter().map(|(name, it)| ((*name).clone(), it.rank, it.value.len() as u32)).collect::<Vec<_>>();
        let data = found.iter().flat_map(|(_, published)| published.value.iter().copied()).collect();
        let read: Vec<String> = found.iter().filter(|(_, it)| it.once).map(|(name, _)| (*name).clone()).collect();
        for name in read {
            self.published_bytes -= self.published.remove(&name).map_or(0, |gone| gone.value.len());
        }
        Some(send(&lookup.node, Head::Found { token: lookup.token, status, values }, data))
    }

    fn serve_lookups(&mut self, actions: &mut Vec<HubAction>) {
        for lookup in std::mem::take(&mut self.lookups) {
            match self.answer(&lookup) {
                Some(answer) => actions.push(answer),
                None => self.lookups.push(lookup),
            }
        }
    }
}

fn send(node: &str, head: Head, data: Vec<u8>) -> HubAction {
    HubAction::Send { node: node.to_owned(), bytes: Message { head, data }.encode() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the hub does on `head` from `node`, one action a line.
    fn act(hub: &mut Hub, node: &str, head: Head, data: &str) -> Vec<String> {
        let bytes = Message { head, data: data.into() }.encode();
        let show = |action: HubAction| match action {
            HubAction::Send { node, bytes } => {
                let mut decoder = Decoder::default();
                decoder.feed(&bytes);
                let message = decoder.next_message().unwrap().unwrap();
                let data = String::from_utf8(message.data).unwrap();
                format!("{node} {} {data}", serde_json::to_string(&message.head).unwrap())
            }
            other => format!("{other:?}"),
        };
        hub.take(node, &bytes).unwrap().into_iter().map(show).collect()
    }

    fn fence(hub: &mut Hub, node: &str, group: &str, nodes: u32, data: &str) -> Vec<String> {
        act(hub, node, Head::Fence { group: group.into(), nodes }, data)
    }

    #[test]
    fn a_fence_opens_when_the_last_node_of_its_group_has_come() {
        let mut hub = Hub::default();
        assert!(fence(&mut hub, "n2", "*", 2, "b").is_empty());
        assert!(fence(&mut hub, "n3", "1,2", 2, "x").is_empty());
        // The next fence of a node that is ahead.
        assert!(fence(&mut hub, "n2", "*", 2, "B").is_empty());
        let opened =
            |node: &str, group: &str, data: &str| format!("{node} {{\"fenced\":{{\"group\":\"{group}\"}}}} {data}");
        assert_eq!(fence(&mut hub, "n1", "*", 2, "a"), [opened("n1", "*", "ab"), opened("n2", "*", "ab")]);
        assert_eq!(fence(&mut hub, "n1", "*", 2, "A"), [opened("n1", "*", "AB"), opened("n2", "*", "AB")]);
        assert_eq!(fence(&mut hub, "n1", "1,2", 2, "y"), [opened("n1", "1,2", "yx"), opened("n3", "1,2", "yx")]);
        assert!(hub.fences.is_empty());
    }

    #[test]
    fn questions_go_to_the_node_of_the_task_and_answers_back() {
        let mut hub = Hub::default();
        let asked = act(&mut hub, "n1", Head::Ask { token: 4, from: "n1".into(), to: "n2".into(), rank: 3 }, "");
        assert_eq!(asked, ["n2 {\"ask\":{\"token\":4,\"from\":\"n1\",\"to\":\"n2\",\"rank\":3}} "]);
        let answered = act(&mut hub, "n2", Head::Answer { token: 4, to: "n1".into(), status: 0 }, "blob");
        assert_eq!(answered, ["n1 {\"answer\":{\"token\":4,\"to\":\"n1\",\"status\":0}} blob"]);
    }

    #[test]
    fn published_values_are_found_once_they_are_there() {
        let mut hub = Hub::default();
        let look = |token, wait| Head::Lookup { token, names: vec!["port".into()], wait };
        let found = |node: &str, token, status, values: &str, data: &str| {
            [format!("{node} {{\"found\":{{\"token\":{token},\"status\":{status},\"values\":[{values}]}}}} {data}")]
        };
        assert_eq!(act(&mut hub, "n2", look(1, 0), ""), found("n2", 1, -46, "", ""));
        assert!(act(&mut hub, "n2", look(2, 1), "").is_empty());
        assert!(act(&mut hub, "n3", look(3, 1), "").is_empty());
        assert!(act(&mut hub, "n3", Head::Forget { token: 3 }, "").is_empty());
        let publish = Head::Publish { token: 9, rank: 5, values: vec![("port".into(), 2)], once: false };
        let mut done = found("n1", 9, 0, "", "").to_vec();
        done.extend(found("n2", 2, 0, "[\"port\",5,2]", "at"));
        assert_eq!(act(&mut hub, "n1", publish.clone(), "at"), done);
        assert_eq!(act(&mut hub, "n1", publish, "at"), found("n1", 9, -53, "", ""));
        // Only who published it can take it back.
        let back = |rank| Head::Unpublish { token: 6, rank, names: vec!["port".into()] };
        act(&mut hub, "n1", back(4), "");
        assert_eq!(act(&mut hub, "n2", look(7, 0), ""), found("n2", 7, 0, "[\"port\",5,2]", "at"));
        act(&mut hub, "n1", back(5), "");
        assert_eq!(act(&mut hub, "n2", look(8, 0), ""), found("n2", 8, -46, "", ""));
        let once = Head::Publish { token: 10, rank: 5, values: vec![("port".into(), 3)], once: true };
        act(&mut hub, "n1", once, "one");
        assert_eq!(act(&mut hub, "n2", look(11, 1), ""), found("n2", 11, 0, "[\"port\",5,3]", "one"));
        assert_eq!(act(&mut hub, "n2", look(12, 0), ""), found("n2", 12, -46, "", ""));
        assert_eq!(hub.published_bytes, 0);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert_eq!(Hub::default().take("n1", &[255; 16]), Err(Malformed));
    }
}
