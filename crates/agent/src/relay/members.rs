//! Who is below a relay, and what goes to whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_proto::{FromMember, Parting, ToAgent, ToMember, ToRelay, from_member, to_agent};
use prost::Message;
use tokio::sync::mpsc::UnboundedSender;
use tonic::Status;

type ToAgentSender = UnboundedSender<Result<ToAgent, Status>>;
type ToRelaySender = UnboundedSender<Result<ToRelay, Status>>;

/// The members by the numbers that this relay gave them. As at the controller, what goes down waits in memory for as long
/// as the connection of the member is held to be alive.
#[derive(Debug, Default)]
pub(super) struct Members {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// The last number given, to members and relays alike.
    last: u64,
    members: HashMap<u64, Member>,
    relays: HashMap<u64, RelayBelow>,
}

#[derive(Debug)]
enum Member {
    /// Connected here.
    Agent(ToAgentSender),
    /// Carried by a relay below, under its own number.
    Carried { relay: u64, number: u64 },
}

#[derive(Debug)]
struct RelayBelow {
    sender: ToRelaySender,
    /// From its numbers to ours.
    numbers: HashMap<u64, u64>,
}

impl Members {
    /// An agent has connected here.
    pub(super) fn add_agent(&self, sender: ToAgentSender) -> u64 {
        let mut table = self.lock();
        let number = table.next();
        table.members.insert(number, Member::Agent(sender));
        number
    }

    /// A relay has connected here; its members come with what they say.
    pub(super) fn add_relay(&self, sender: ToRelaySender) -> u64 {
        let mut table = self.lock();
        let number = table.next();
        table.relays.insert(number, RelayBelow { sender, numbers: HashMap::new() });
        number
    }

    /// What a member of the relay below said, under our number.
    pub(super) fn hand_up(&self, relay: u64, part: FromMember) -> FromMember {
        let mut table = self.lock();
        let known = table.relays.get(&relay).and_then(|below| below.numbers.get(&part.member)).copied();
        let ours = known.unwrap_or_else(|| {
            let ours = table.next();
            table.members.insert(ours, Member::Carried { relay, number: part.member });
            if let Some(below) = table.relays.get_mut(&relay) {
                below.numbers.insert(part.member, ours);
            }
            ours
        });
        if matches!(part.part, Some(from_member::Part::Gone(_))) {
            table.remove(ours);
        }
        FromMember { member: ours, part: part.part }
    }

    /// Whether the relay below has said anything of that member before.
    pub(super) fn is_member(&self, relay: u64, number: u64) -> bool {
        self.lock().relays.get(&relay).is_some_and(|below| below.numbers.contains_key(&number))
    }

    /// The member is no longer there.
    pub(super) fn remove(&self, member: u64) {
        self.lock().remove(member);
    }

    /// The relay below is no longer there; its members, which went with it.
    pub(super) fn remove_relay(&self, relay: u64) -> Vec<u64> {
        let mut table = self.lock();
        let below = table.relays.remove(&relay);
        let members: Vec<u64> = below.into_iter().flat_map(|below| below.numbers.into_values()).collect();
        members.iter().for_each(|member| drop(table.members.remove(member)));
        members
    }

    /// Hands a message to all members that it is for. One who has gone meanwhile gets nothing; the way up hears of it.
    pub(super) fn hand_down(&self, frame: ToRelay) {
        let mut table = self.lock();
        let mut carried: BTreeMap<u64, Vec<ToMember>> = BTreeMap::new();
        let mut decoded: Option<ToAgent> = None;
        for target in &frame.members {
            match table.members.get(&target.member) {
                Some(Member::Carried { relay, number }) => {
                    carried.entry(*relay).or_default().push(ToMember { member: *number, ..*target });
                }
                Some(Member::Agent(sender)) => match &frame.parting {
                    Some(parting) => drop(sender.send(Err(status(parting)))),
                    None => {
                        // Bytes that are no message are of a newer controller, as is a message of no known kind.
                        let message =
                            decoded.get_or_insert_with(|| ToAgent::decode(frame.message.clone()).unwrap_or_default());
                        drop(sender.send(Ok(addressed(message, target))));
                    }
                },
                None => {}
            }
        }
        if frame.parting.is_some() {
            frame.members.iter().for_each(|target| table.remove(target.member));
        }
        for (relay, members) in carried {
            if let Some(below) = table.relays.get(&relay) {
                let (message, parting) = (frame.message.clone(), frame.parting.clone());
                drop(below.sender.send(Ok(ToRelay { members, message, parting })));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn remove(&mut self, member: u64) {
        if let Some(Member::Carried { relay, number }) = self.members.remove(&member)
            && let Some(below) = self.relays.get_mut(&relay)
        {
            below.numbers.remove(&number);
        }
    }
}

/// The message as this member is to get it.
fn addressed(message: &ToAgent, target: &ToMember) -> ToAgent {
    let mut message = message.clone();
    if let Some(to_agent::Message::Launch(launch)) = &mut message.message {
        launch.launch_sequence = target.launch_sequence;
    }
    message
}

fn status(parting: &Parting) -> Status {
    Status::new(tonic::Code::from_i32(parting.code), parting.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_proto::{Launch, Shutdown};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    fn launch() -> ToAgent {
        ToAgent { message: Some(to_agent::Message::Launch(Launch { kill_wait_ms: 7, ..Launch::default() })) }
    }

    fn frame(members: &[(u64, u64)], message: &ToAgent) -> ToRelay {
        let member =
            |(member, launch_sequence): &(u64, u64)| ToMember { member: *member, launch_sequence: *launch_sequence };
        ToRelay {
            members: members.iter().map(member).collect(),
            message: message.encode_to_vec().into(),
            parting: None,
        }
    }

    fn sequence(receiver: &mut UnboundedReceiver<Result<ToAgent, Status>>) -> Option<u64> {
        match receiver.try_recv().ok()?.ok()?.message? {
            to_agent::Message::Launch(launch) => Some(launch.launch_sequence),
            _ => None,
        }
    }

    fn said(member: u64) -> FromMember {
        FromMember { member, part: Some(from_member::Part::Message(muster_proto::FromAgent::default())) }
    }

    #[test]
    fn each_member_gets_a_launch_under_its_own_number() {
        let members = Members::default();
        let ((one, mut to_one), (other, mut to_other)) = (unbounded_channel(), unbounded_channel());
        let (one, other) = (members.add_agent(one), members.add_agent(other));
        members.hand_down(frame(&[(one, 5), (other, 9)], &launch()));
        assert_eq!((sequence(&mut to_one), sequence(&mut to_other)), (Some(5), Some(9)));
        members.remove(one);
        members.hand_down(frame(&[(one, 6), (other, 10)], &launch()));
        assert_eq!((sequence(&mut to_one), sequence(&mut to_other)), (None, Some(10)));
    }

    #[test]
    fn a_relay_below_gets_one_message_for_its_members_under_its_numbers() {
        let members = Members::default();
        let (agent, mut to_agent) = unbounded_channel();
        let (below, mut to_below) = unbounded_channel();
        let agent = members.add_agent(agent);
        let below = members.add_relay(below);
        let first = members.hand_up(below, said(40)).member;
        let second = members.hand_up(below, said(41)).member;
        assert_eq!(members.hand_up(below, said(40)).member, first, "a member keeps its number");
        assert!(![agent, first].contains(&second) && first != agent);

        let sent = frame(&[(first, 1), (agent, 2), (second, 3)], &launch());
        members.hand_down(sent.clone());
        assert_eq!(sequence(&mut to_agent), Some(2));
        let handed = to_below.try_recv().unwrap().unwrap();
        assert_eq!(handed, ToRelay { message: sent.message, ..frame(&[(40, 1), (41, 3)], &launch()) });
        assert!(to_below.try_recv().is_err());

        // One leaves; the rest go with the relay.
        let gone = FromMember { member: 40, part: Some(from_member::Part::Gone(true)) };
        assert_eq!(members.hand_up(below, gone).member, first);
        assert_eq!(members.remove_relay(below), [second]);
        assert_ne!(members.hand_up(below, said(41)).member, second, "a number is used once");
    }

    #[test]
    fn a_session_that_is_over_ends_with_its_status() {
        let members = Members::default();
        let (agent, mut to_agent) = unbounded_channel();
        let agent = members.add_agent(agent);
        let shutdown = ToAgent { message: Some(to_agent::Message::Shutdown(Shutdown {})) };
        let parting = Parting { code: tonic::Code::PermissionDenied.into(), message: "wrong token".to_owned() };
        members.hand_down(ToRelay { parting: Some(parting), ..frame(&[(agent, 0)], &shutdown) });
        let status = to_agent.try_recv().unwrap().unwrap_err();
        assert_eq!((status.code(), status.message()), (tonic::Code::PermissionDenied, "wrong token"));
        members.hand_down(frame(&[(agent, 1)], &launch()));
        assert!(to_agent.try_recv().is_err(), "it is a member no longer");
    }
}
