//! Which nodes `sinfo` shows, which of them share a line, and in what order the lines come.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use muster_model::hostlist;
use muster_model::ids::{Name, NodeIndex};
use muster_model::node::Node;
use muster_model::partition::Partition;

use super::super::context::{Cluster, Context};
use super::super::format::{Format, Piece};
use super::super::node_text::NodeState;
use super::super::scontrol::preempt_mode_word;
use super::fields::{FIELDS, Group, is_distinct, is_of_partition};
use super::options::Options;

/// The lines of the table, in the order of partitions and nodes.
pub fn groups(cluster: &Cluster, options: &Options, format: &Format<Group>, context: &Context) -> Vec<Group> {
    let wanted_nodes = options.nodes.as_ref().map(|list| hostlist::expand(list).unwrap_or_default());
    let shows_partition = format.shows(is_of_partition);
    let mut groups: Vec<Group> = Vec::new();
    let mut members: Vec<BTreeSet<NodeIndex>> = Vec::new();
    let mut places: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (index, partition) in cluster.partitions.iter().enumerate() {
        if !partition_wanted(partition, options) {
            continue;
        }
        let preempt_mode: Name = preempt_mode_word(partition, Some(cluster)).into();
        let group = |nodes| Group {
            partition: partition.clone(),
            partition_index: index,
            preempt_mode: preempt_mode.clone(),
            nodes,
        };
        let mut any = false;
        for node_index in &partition.nodes {
            let Some(node) = cluster.nodes.get(node_index.0 as usize) else {
                continue;
            };
            if !node_wanted(node, options, wanted_nodes.as_deref()) {
                continue;
            }
            any = true;
            let single = group(vec![node.clone()]);
            let place = *places.entry(key(&single, options, format, context)).or_insert_with(|| {
                groups.push(Group { nodes: Vec::new(), ..single.clone() });
                members.push(BTreeSet::new());
                groups.len() - 1
            });
            // What is shown together counts a node of two partitions once.
            if members.get_mut(place).is_some_and(|members| members.insert(*node_index))
                && let Some(group) = groups.get_mut(place)
            {
                group.nodes.push(node.clone());
            }
        }
        if !any && shows_partition && !options.node_centric && !options.reasons {
            groups.push(group(Vec::new()));
            members.push(BTreeSet::new());
        }
    }
    groups
}

fn partition_wanted(partition: &Partition, options: &Options) -> bool {
    match &options.partitions {
        Some(list) => list.iter().any(|name| **name == *partition.name),
        None => options.all || !partition.hidden,
    }
}

fn node_wanted(node: &Node, options: &Options, names: Option<&[String]>) -> bool {
    let state = NodeState::of(node);
    let in_state = options.states.as_ref().is_none_or(|(asked, all_needed)| match all_needed {
        true => asked.iter().all(|asked| asked.matches(state)),
        false => asked.iter().any(|asked| asked.matches(state)),
    });
    in_state
        && names.is_none_or(|names| names.iter().any(|name| **name == **node.name()))
        && (!options.dead || state.is_silent())
        && (!options.responding || !state.is_silent())
        && (!options.reasons || node.reason.is_some())
}

/// What nodes on one line have in common.
fn key(single: &Group, options: &Options, format: &Format<Group>, context: &Context) -> Vec<String> {
    let mut key: Vec<String> = format
        .pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Column { field, .. } if is_distinct(field, options.exact) => Some((field.text)(single, context)),
            _ => None,
        })
        .collect();
    if options.node_centric {
        key.extend(single.nodes.iter().map(|node| node.name().to_string()));
        key.push(single.partition.name.to_string());
    }
    key
}

/// Puts `groups` into the order that `letters` want: `#P,-t`.
pub fn sort(groups: &mut [Group], letters: &str, context: &Context) {
    let letters: Vec<char> = letters.chars().collect();
    for (at, letter) in letters.iter().enumerate().rev() {
        if matches!(letter, ',' | '#' | '-' | '+') {
            continue;
        }
        let before: Vec<char> =
            letters[..at].iter().rev().take_while(|c| matches!(c, '#' | '-' | '+')).copied().collect();
        let reversed = before.contains(&'-');
        groups.sort_by(|a, b| {
            let order = compare(*letter, before.contains(&'#'), a, b, context);
            if reversed { order.reverse() } else { order }
        });
    }
}

fn compare(letter: char, by_configuration: bool, a: &Group, b: &Group, context: &Context) -> Ordering {
    let number = |value: fn(&Group) -> u64| value(a).cmp(&value(b));
    match letter {
        'P' if by_configuration => a.partition_index.cmp(&b.partition_index),
        't' | 'T' => number(|group| group.state().map_or(0, |state| u64::from(state.number()))),
        'N' | 'n' => natural(a).cmp(&natural(b)),
        'A' | 'F' => a.counts().cmp(&b.counts()),
        'c' => number(|group| group.nodes.first().map_or(0, |node| u64::from(node.config.hardware.cpus))),
        'd' => number(|group| group.nodes.first().map_or(0, |node| node.config.hardware.tmp_disk.0)),
        'D' => number(|group| group.nodes.len() as u64),
        'e' => number(|group| group.nodes.first().map_or(0, |node| node.report.memory_free.0)),
        'l' => a.partition.time_max.cmp(&b.partition.time_max),
        'L' => a.partition.time_default.cmp(&b.partition.time_default),
        'm' => number(|group| group.nodes.first().map_or(0, |node| node.config.hardware.memory.0)),
        'O' => number(|group| group.nodes.first().map_or(0, |node| u64::from(node.report.load_hundredths))),
        'p' => number(|group| u64::from(group.partition.priority_tier)),
        's' => (a.partition.nodes_max.unwrap_or(u32::MAX)).cmp(&b.partition.nodes_max.unwrap_or(u32::MAX)),
        'w' => number(|group| group.nodes.first().map_or(0, |node| u64::from(node.config.weight))),
        letter => match FIELDS.iter().find(|field| field.letter == Some(letter)) {
            Some(field) => (field.text)(a, context).cmp(&(field.text)(b, context)),
            None => Ordering::Equal,
        },
    }
}

/// The name of the first node, cut so that `n2` comes before `n10`.
fn natural(group: &Group) -> (String, u64) {
    let name = group.nodes.first().map_or("", |node| node.name());
    let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (prefix.to_owned(), name[prefix.len()..].parse().unwrap_or(u64::MAX))
}
