//! What servers and the hub tell each other: a head in JSON and bytes that only libpmix understands.

use serde::{Deserialize, Serialize};

/// Longest message: what all tasks of a large step put. Each node shares a part of it.
const BYTES_MAX: usize = 1 << 30;

/// Bytes before the head: its length and that of the data, little endian.
const LENGTHS_BYTES: usize = 8;

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// Launcher to server, first: everything about the step.
    Setup(Box<super::Setup>),
    /// Server to launcher: tasks may be started, each rank with these variables.
    Ready(Vec<(u32, Vec<String>)>),
    /// Server to launcher: it cannot serve.
    Failed(String),
    /// All tasks of the node that take part have come. Data: what they have put.
    Fence {
        /// Who takes part, and in what.
        group: String,
        /// How many nodes take part.
        nodes: u32,
    },
    /// Hub: all nodes have come. Data: what all tasks have put.
    Fenced {
        /// As above.
        group: String,
    },
    /// A server wants what a task on another node has put.
    Ask {
        /// Number of the question.
        token: u64,
        /// Node that asks.
        from: String,
        /// Node of the task.
        to: String,
        /// The task.
        rank: u32,
    },
    /// The answer, as data.
    Answer {
        /// Number of the question.
        token: u64,
        /// Node that asked.
        to: String,
        /// Code of the library.
        status: i32,
    },
    /// A task publishes values. Data: one after the other.
    Publish {
        /// Number of the question.
        token: u64,
        /// The task.
        rank: u32,
        /// Names with the lengths of their values.
        values: Vec<(String, u32)>,
        /// They are gone when they have been found once.
        once: bool,
    },
    /// A task wants published values.
    Lookup {
        /// Number of the question.
        token: u64,
        /// Their names.
        names: Vec<String>,
        /// How many of them it waits for; 0 for what is there.
        wait: u32,
    },
    /// Nobody waits for this answer any more.
    Forget {
        /// Number of the question.
        token: u64,
    },
    /// A task takes back what it published.
    Unpublish {
        /// Number of the question.
        token: u64,
        /// The task.
        rank: u32,
        /// Names; none for all that it published.
        names: Vec<String>,
    },
    /// Hub: the answer to one of these three.
    Found {
        /// Number of the question.
        token: u64,
        /// Code of the library.
        status: i32,
        /// Names with who published them and the lengths of their values, which are the data.
        values: Vec<(String, u32, u32)>,
    },
    /// A task ends the step.
    Abort {
        /// The task.
        rank: u32,
        /// The exit code it wants.
        status: i32,
        /// Its words.
        message: String,
    },
    /// A task has gone without taking leave of the library.
    Lost {
        /// The task.
        rank: u32,
        /// Code of the library.
        status: i32,
    },
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub head: Head,
    /// Bytes for the library.
    pub data: Vec<u8>,
}

impl Message {
    /// One without data.
    pub fn of(head: Head) -> Message {
        Message { head, data: Vec::new() }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let head = serde_json::to_vec(&self.head).unwrap_or_default();
        let mut bytes = Vec::with_capacity(LENGTHS_BYTES + head.len() + self.data.len());
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&self.data);
        bytes
    }
}

/// Bytes are none of these messages, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed message of a PMIx server")]
pub struct Malformed;

/// Collects bytes and gives messages.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Adds bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no message; nothing good can come any more.
    pub fn next_message(&mut self) -> Result<Option<Message>, Malformed> {
        let Some((lengths, rest)) = self.buffer.split_first_chunk::<LENGTHS_BYTES>() else {
            return Ok(None);
        };
        let [a, b, c, d, e, f, g, h] = *lengths;
        let head_length = u32::from_le_bytes([a, b, c, d]) as usize;
        let data_length = u32::from_le_bytes([e, f, g, h]) as usize;
        if head_length.saturating_add(data_length) > BYTES_MAX {
            return Err(Malformed);
        }
        let Some(body) = rest.get(..head_length + data_length) else {
            return Ok(None);
        };
        let (head, data) = body.split_at(head_length);
        let message = Message { head: serde_json::from_slice(head).map_err(|_| Malformed)?, data: data.to_vec() };
        self.buffer.drain(..LENGTHS_BYTES + head_length + data_length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_cutting() {
        let messages = [
            Message { head: Head::Fence { group: "fence:*".into(), nodes: 2 }, data: vec![1, 2, 3] },
            Message::of(Head::Abort { rank: 1, status: 3, message: "no \"luck\"".into() }),
            Message { head: Head::Found { token: 7, status: 0, values: vec![("a".into(), 1, 1)] }, data: vec![0] },
        ];
        let bytes: Vec<u8> = messages.iter().flat_map(Message::encode).collect();
        for size in [1, 3, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in bytes.chunks(size) {
                decoder.feed(part);
                while let Some(message) = decoder.next_message().unwrap() {
                    seen.push(message);
                }
            }
            assert_eq!(seen, messages, "in pieces of {size}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let mut decoder = Decoder::default();
            decoder.feed(&bytes);
            while let Ok(Some(_)) = decoder.next_message() {}
        }
    }
}
