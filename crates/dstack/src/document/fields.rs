//! Reading the properties of a mapping, strictly: each property that is asked for is known, any other is a problem.

use std::collections::BTreeSet;

use super::node::{Entry, Node, Path, Value};
use super::problem::{Problem, Problems};
use super::similar::nearest;

/// Something that can be read from a value of a document.
pub(crate) trait Read: Sized {
    /// Reads it; `path` is for messages.
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems>;
}

/// The properties of one mapping. Problems are gathered, so that a file is answered with all of them at once; the
/// caller takes what it wants and ends with [`Fields::finish`].
pub(crate) struct Fields<'n> {
    node: &'n Node,
    path: &'n Path<'n>,
    entries: &'n [Entry],
    known: BTreeSet<&'static str>,
    problems: Vec<Problem>,
}

impl<'n> Fields<'n> {
    /// Opens a mapping.
    pub(crate) fn open(node: &'n Node, path: &'n Path<'n>) -> Result<Self, Problems> {
        match &node.value {
            Value::Map(entries) => Ok(Fields { node, path, entries, known: BTreeSet::new(), problems: Vec::new() }),
            _ => Err(node.unexpected(path, "a mapping")),
        }
    }

    /// The value of a property as it stands; `None` when it is absent or empty.
    pub(crate) fn node(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.insert(name);
        self.entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node).filter(|node| !node.is_null())
    }

    /// Whether the property is written at all, even empty.
    pub(crate) fn is_written(&mut self, name: &'static str) -> bool {
        self.known.insert(name);
        self.entries.iter().any(|entry| entry.key == name)
    }

    /// A property that may be absent or empty.
    pub(crate) fn optional<T: Read>(&mut self, name: &'static str) -> Option<T> {
        let node = self.node(name)?;
        self.take(T::read(node, &Path::Property(self.path, name)))
    }

    /// A property that has a default, and may be absent but not empty.
    pub(crate) fn or_default<T: Read + Default>(&mut self, name: &'static str) -> T {
        self.or(name, T::default())
    }

    /// As [`Fields::or_default`], with another default.
    pub(crate) fn or<T: Read>(&mut self, name: &'static str, default: T) -> T {
        if self.node(name).is_none() && self.is_written(name) {
            self.problem(name, "is empty; give a value or leave it out");
        }
        self.optional(name).unwrap_or(default)
    }

    /// A property that must be there. `None` when it is missing or wrong, which is then a problem of this mapping.
    pub(crate) fn required<T: Read>(&mut self, name: &'static str) -> Option<T> {
        if self.node(name).is_none() {
            self.problem(name, "is required");
        }
        self.optional(name)
    }

    /// A property with a reader of its own, which may decide that the value counts as absent.
    pub(crate) fn optional_with<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Node, &Path<'_>) -> Result<Option<T>, Problems>,
    ) -> Option<T> {
        let node = self.node(name)?;
        self.take(read(node, &Path::Property(self.path, name))).flatten()
    }

    /// Whether a problem was noted with this property or something within it.
    pub(crate) fn has_problem(&self, name: &'static str) -> bool {
        let path = Path::Property(self.path, name).to_string();
        self.problems.iter().any(|problem| {
            problem.path.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Notes a problem with one property.
    pub(crate) fn problem(&mut self, name: &'static str, message: impl Into<String>) {
        let location =
            self.entries.iter().find(|entry| entry.key == name).map_or(self.node.location, |entry| entry.node.location);
        let path = Path::Property(self.path, name).to_string();
        self.problems.push(Problem { path, message: message.into(), location });
    }

    /// Notes a problem with the mapping as a whole.
    pub(crate) fn problem_here(&mut self, message: impl Into<String>) {
        self.problems.extend(self.node.problem(self.path, message).into_list());
    }

    /// Takes the value out of a result, or notes its problems.
    pub(crate) fn take<T>(&mut self, result: Result<T, Problems>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problems) => {
                self.problems.extend(problems.into_list());
                None
            }
        }
    }

    /// Gives up, with the problems so far; unknown properties are not looked for.
    pub(crate) fn fail<T>(self) -> Result<T, Problems> {
        match Problems::from_list(self.problems) {
            Some(problems) => Err(problems),
            None => Err(self.node.problem(self.path, "cannot be read")),
        }
    }

    /// Ends the reading: the value, unless there was a problem or a property that nobody asked for.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Problems> {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(entry.key.as_str())) {
            let path = Path::Property(self.path, &entry.key).to_string();
            let message = unknown_property(&entry.key, &self.known);
            self.problems.push(Problem { path, message, location: entry.key_location });
        }
        self.problems.sort_by_key(|problem| problem.location);
        match (Problems::from_list(self.problems), value) {
            (None, Some(value)) => Ok(value),
            (Some(problems), _) => Err(problems),
            (None, None) => Err(self.node.problem(self.path, "cannot be read")),
        }
    }
}

/// Properties that earlier versions of dstack had, with what took their place.
const RETIRED: &[(&str, &str)] = &[
    ("termination_idle_time", "use idle_duration"),
    ("termination_policy", "use idle_duration"),
    ("pool", "use fleets"),
    ("pool_name", "use fleets"),
    ("build", "no longer exists"),
    ("router", "belongs into a replica group"),
];

fn unknown_property(key: &str, known: &BTreeSet<&'static str>) -> String {
    if let Some(name) = nearest(key, known.iter().copied()) {
        return format!("unknown property (did you mean {name}?)");
    }
    match RETIRED.iter().find(|(name, _)| *name == key) {
        Some((_, instead)) => format!("unknown property ({instead})"),
        None => "unknown property".to_owned(),
    }
}

/// Reads each item of a list and gathers the problems of all.
pub(crate) fn read_list<T>(
    node: &Node,
    path: &Path<'_>,
    read: impl Fn(&Node, &Path<'_>) -> Result<T, Problems>,
) -> Result<Vec<T>, Problems> {
    let Value::List(items) = &node.value else {
        return Err(node.unexpected(path, "a list"));
    };
    let mut values = Vec::with_capacity(items.len());
    let mut problems = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match read(item, &Path::Item(path, index)) {
            Ok(value) => values.push(value),
            Err(found) => problems.extend(found.into_list()),
        }
    }
    Problems::from_list(problems).map_or(Ok(values), Err)
}
