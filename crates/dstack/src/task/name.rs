//! Names for runs that were given none: `adjective-animal-N`.

const ADJECTIVES: &[&str] = &[
    "agile", "amber", "ample", "apt", "azure", "bold", "brisk", "calm", "candid", "chief", "civil", "clear", "cosmic",
    "crisp", "deft", "dual", "eager", "early", "fair", "fine", "firm", "fleet", "frank", "fresh", "gentle", "glad",
    "golden", "grand", "hardy", "honest", "ideal", "jolly", "keen", "kind", "lively", "loyal", "lucid", "lunar",
    "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "patient", "placid", "plain", "polar", "prime",
    "proud", "quick", "quiet", "rapid", "regal", "robust", "royal", "sage", "sharp", "silent", "silver", "smooth",
    "solar", "solid", "sound", "spry", "stable", "steady", "stellar", "sturdy", "subtle", "sunny", "swift", "tidy",
    "tough", "tranquil", "true", "upbeat", "valiant", "vast", "vivid", "warm", "wise", "witty", "young", "zesty",
];

const ANIMALS: &[&str] = &[
    "alpaca",
    "antelope",
    "auk",
    "badger",
    "bat",
    "bear",
    "beaver",
    "bison",
    "boar",
    "bream",
    "buzzard",
    "camel",
    "caribou",
    "cat",
    "chamois",
    "civet",
    "cod",
    "condor",
    "coot",
    "cormorant",
    "crane",
    "cricket",
    "crow",
    "curlew",
    "deer",
    "dingo",
    "dolphin",
    "dove",
    "duck",
    "eagle",
    "egret",
    "elk",
    "emu",
    "falcon",
    "ferret",
    "finch",
    "fox",
    "gannet",
    "gecko",
    "gibbon",
    "gnu",
    "goose",
    "grebe",
    "grouse",
    "gull",
    "hare",
    "hawk",
    "heron",
    "ibex",
    "ibis",
    "jackal",
    "jay",
    "kestrel",
    "kite",
    "koala",
    "lark",
    "lemur",
    "linnet",
    "lynx",
    "magpie",
    "marmot",
    "marten",
    "mole",
    "moose",
    "newt",
    "ocelot",
    "okapi",
    "orca",
    "osprey",
    "otter",
    "owl",
    "panda",
    "petrel",
    "pika",
    "plover",
    "puffin",
    "puma",
    "quail",
    "raven",
    "robin",
    "salmon",
    "seal",
    "shrike",
    "skua",
    "stoat",
    "stork",
    "swan",
    "tapir",
    "tern",
    "thrush",
    "tiger",
    "toad",
    "trout",
    "turtle",
    "vole",
    "walrus",
    "weasel",
    "whale",
    "wolf",
    "wren",
    "yak",
    "zebra",
];

/// From how many seeds on names repeat.
pub const NAME_SEEDS: u64 = (ADJECTIVES.len() * ANIMALS.len() * NUMBERS as usize) as u64;

/// Names end with a number from 1 to this.
const NUMBERS: u64 = 99;

/// The name for a seed. The same seed gives the same name, neighbouring seeds give different words; the caller draws
/// the seed, and draws again where the name is taken.
pub fn generated_name(seed: u64) -> String {
    let pick = |words: &[&'static str], number: u64| {
        usize::try_from(number % words.len() as u64).ok().and_then(|index| words.get(index)).copied().unwrap_or("run")
    };
    let after_adjective = seed / ADJECTIVES.len() as u64;
    let adjective = pick(ADJECTIVES, seed);
    let animal = pick(ANIMALS, after_adjective.wrapping_add(seed % ADJECTIVES.len() as u64));
    let number = (after_adjective / ANIMALS.len() as u64) % NUMBERS + 1;
    format!("{adjective}-{animal}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::is_run_name;

    #[test]
    fn names_are_allowed_and_differ() {
        assert_eq!(generated_name(0), "agile-alpaca-1");
        let names: std::collections::BTreeSet<String> = (0..20_000).map(generated_name).collect();
        assert_eq!(names.len(), 20_000);
        assert!(names.iter().all(|name| is_run_name(name)));
        assert!(is_run_name(&generated_name(u64::MAX)));
    }
}
