//! The two hundred submissions: always the same, with something of everything.

use std::collections::BTreeMap;

/// One `sbatch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Submission {
    pub(super) name: String,
    /// Options. `{jNNN}` stands for the number of an earlier job.
    arguments: Vec<String>,
}

impl Submission {
    /// The options as one text.
    pub(super) fn options(&self) -> String {
        self.arguments.join(" ")
    }

    /// The options, with the numbers that earlier jobs got; a job that was refused has the number 0.
    pub(super) fn arguments_with(&self, numbers: &BTreeMap<String, String>) -> Vec<String> {
        let replaced = |argument: &String| {
            let mut text = argument.clone();
            while let (Some(begin), Some(end)) = (text.find('{'), text.find('}')) {
                let number = numbers.get(&text[begin + 1..end]).map_or("0", String::as_str).to_owned();
                text.replace_range(begin..=end, &number);
            }
            text
        };
        self.arguments.iter().map(replaced).collect()
    }
}

/// How many.
const COUNT: usize = 200;

/// All of them, in order.
pub(super) fn all() -> Vec<Submission> {
    let mut numbers = Numbers(20_260_101);
    (1..=COUNT)
        .map(|number| {
            let options = options(number, &mut numbers);
            let arguments = options.split_whitespace().map(str::to_owned).collect();
            Submission { name: format!("j{number:03}"), arguments }
        })
        .collect()
}

/// Options of the job, or array task, with this name.
pub(super) fn of(job: &str) -> String {
    let name = job.split('_').next().unwrap_or(job);
    let found = all().into_iter().find(|submission| submission.name == name);
    found.map_or_else(String::new, |submission| submission.options())
}

/// Names of the submissions that the job, or array task, with this name depends on.
pub(super) fn targets(job: &str) -> Vec<String> {
    let options = of(job);
    let names = options.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// The partition of higher tier than all others.
pub(super) const HIGH_TIER: &str = "high";

/// The place of a job in the queue: what comes first counts most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Whether all of its partitions are below [`HIGH_TIER`].
    pub(super) below_tier: bool,
    nice: u32,
    name: String,
    /// Within an array.
    index: u32,
}

/// The place of a job in the queue of its best partition.
pub(super) fn rank(job: &str) -> Rank {
    let options = of(job);
    let (name, index) = job.split_once('_').unwrap_or((job, "0"));
    let nice = options.split_whitespace().find_map(|word| word.strip_prefix("--nice=")?.parse().ok());
    let below_tier = !options.contains(HIGH_TIER);
    Rank { below_tier, nice: nice.unwrap_or(0), name: name.to_owned(), index: index.parse().unwrap_or(0) }
}

/// Options of the job with this number. Every twentieth is of the same kind.
fn options(number: usize, numbers: &mut Numbers) -> String {
    let minutes = [5, 10, 15, 20, 30, 45, 55][numbers.below(7)];
    let tasks = [1, 1, 2, 2, 3, 4, 6, 8, 12, 16][numbers.below(10)];
    let earlier = format!("{{j{:03}}}", 1 + numbers.below(number.max(2) - 1));
    let partition = ["", "-p batch", "-p high", "-p small", "-p batch,high"][numbers.below(5)];
    let plain = format!("-t {minutes} {partition}");
    match number % 20 {
        0 => format!("--array=0-{}%2 -n{tasks} {plain}", 2 + numbers.below(4)),
        1 => format!("-N{} --ntasks-per-node=4 -t {minutes}", 2 + numbers.below(3)),
        2 => format!("-d afterok:{earlier} -n{tasks} {plain}"),
        3 => format!(
            "-C {} -n{tasks} -t {minutes}",
            ["fast", "slow", "disk", "fast&disk", "fast|slow"][numbers.below(5)]
        ),
        4 => format!("--mem={} -n1 {plain}", [2000, 8000, 24_000, 48_000, 64_000][numbers.below(5)]),
        5 => format!("--gres=gpu:{} -n2 -t {minutes}", 1 + numbers.below(2)),
        6 => format!("--exclusive -N{} -t {minutes}", 1 + numbers.below(2)),
        7 => {
            ["--begin=now+1day -n1", "-d singleton -n1", "-H -n1", "--begin=now+2days -n1"][numbers.below(4)].to_owned()
        }
        8 => format!("--nice={} -n{tasks} {plain}", 10 + numbers.below(200)),
        9 => format!("-L matlab:{} -n1 {plain}", 1 + numbers.below(3)),
        10 => format!("-w n{} -n{tasks} -t {minutes}", 1 + numbers.below(4)),
        11 => format!("-x n[{0}-{1}] -n{tasks} -t {minutes}", 1 + numbers.below(2), 3),
        12 => format!("-n{} -c{} -t {minutes} -p batch", 1 + numbers.below(6), 1 + numbers.below(4)),
        13 => ["-N5", "-n80", "--mem=99999", "-C nosuch", "-t 2:00:00", "-p small -N2", "-L matlab:9", "--gres=gpu:3"]
            [numbers.below(8)]
        .to_owned(),
        14 => format!("-N1-3 -n{} {plain}", tasks.max(3)),
        15 => format!("--array=1-{} -n{tasks} -t {minutes}", 2 + numbers.below(3)),
        16 => format!("-d {}:{earlier} -n1 {plain}", ["after", "afterany", "afternotok"][numbers.below(3)]),
        17 => format!("--mem-per-cpu={} -n{tasks} {plain}", [500, 2000, 4000][numbers.below(3)]),
        18 => format!("-G {} -n1 -t {minutes}", 1 + numbers.below(4)),
        _ => format!("-n{tasks} {plain}"),
    }
}

/// A generator of numbers that need only look unordered (splitmix64).
struct Numbers(u64);

impl Numbers {
    /// A number below `bound`, which must not be 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_submissions_are_always_the_same() {
        assert_eq!(all(), all());
        assert_eq!(all().len(), COUNT);
        let numbers = BTreeMap::from([("j001".to_owned(), "7".to_owned())]);
        let submission = Submission { name: "j002".to_owned(), arguments: vec!["afterok:{j001}:{j009}".to_owned()] };
        assert_eq!(submission.arguments_with(&numbers), ["afterok:7:0"]);
    }
}
