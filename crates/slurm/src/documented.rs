//! The lists in `docs/slurm.md` are those of the option table and of the parameters: a list that is out of date is an
//! error, which shows what has to stand there.

use crate::conf;
use crate::options::{self, Command, Effect, Section};

const PAGE: &str = include_str!("../../../docs/slurm.md");
/// Columns of a line of the page.
const WIDTH: usize = 150;

/// Checks that the page has `items` between the marks of `name`.
fn check(name: &str, items: &[String]) {
    let (begin, end) = (format!("<!-- {name} -->\n"), "<!-- end -->");
    let expected = wrapped(items);
    let found = PAGE.split_once(&begin).and_then(|(_, rest)| rest.split_once(end)).map(|(list, _)| list.trim());
    assert!(found == Some(expected.trim()), "docs/slurm.md should have after {begin}{expected}");
}

/// The items with commas between them, on lines that are not too long.
fn wrapped(items: &[String]) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for (position, item) in items.iter().enumerate() {
        let end = if position + 1 == items.len() { "." } else { "," };
        let length = item.chars().count() + end.len() + 1;
        if column > 0 && column + length > WIDTH {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
        }
        text.push_str(item);
        text.push_str(end);
        column += length;
    }
    text
}

/// Options with this effect, each with its short form and the commands that have it where these are not all three.
fn options_that(effect: Effect) -> Vec<String> {
    const COMMANDS: [Command; 3] = [Command::Sbatch, Command::Srun, Command::Salloc];
    let mut items: Vec<String> = Vec::new();
    for command in COMMANDS {
        for spec in options::of(command)
            .filter(|spec| spec.effect == effect && spec.section != Section::Hidden && spec.alias_of.is_none())
        {
            let short = spec.short.map_or(String::new(), |letter| format!(" `-{letter}`"));
            let readers: Vec<&str> =
                COMMANDS.into_iter().filter(|command| spec.commands.contains(*command)).map(Command::name).collect();
            let only =
                if readers.len() == COMMANDS.len() { String::new() } else { format!(" ({})", readers.join(", ")) };
            items.push(format!("`--{}`{short}{only}", spec.name));
        }
    }
    items.sort_unstable();
    items.dedup();
    items
}

#[test]
fn the_page_names_the_options_that_act() {
    check("options acted on", &options_that(Effect::Acts));
}

#[test]
fn the_page_names_the_options_that_mean_nothing_here() {
    check("options without meaning here", &options_that(Effect::Moot));
}

#[test]
fn the_page_names_the_options_that_do_nothing_yet() {
    check("options not yet acted on", &options_that(Effect::NotYet));
}

#[test]
fn the_page_names_the_options_that_are_refused() {
    check("options refused", &options_that(Effect::Refused));
}

#[test]
fn the_page_names_the_parameters_that_act() {
    let items: Vec<String> = conf::acted_on().into_iter().map(|name| format!("`{name}`")).collect();
    check("parameters acted on", &items);
}

#[test]
fn the_page_names_what_becomes_of_the_words_of_scheduler_parameters() {
    for (list, standing) in [
        ("scheduler words acted on", conf::Standing::Acts),
        ("scheduler words without meaning here", conf::Standing::Needless),
        ("scheduler words not acted on", conf::Standing::NotActed),
    ] {
        let words = conf::SCHEDULER_WORDS.iter().filter(|(_, own)| *own == standing);
        check(list, &words.map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>());
    }
}
