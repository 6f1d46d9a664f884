//! `--cpu-freq`: checked and brought into Slurm's own spelling.

const WORDS: &[(&str, &str)] = &[("low", "Low"), ("medium", "Medium"), ("high", "High"), ("highm1", "HighM1")];

const GOVERNORS: &[&str] = &["Conservative", "OnDemand", "Performance", "PowerSave", "SchedUtil", "UserSpace"];

/// `MIN[-MAX[:GOVERNOR]]` or a governor alone, as Slurm prints it (`1000-2000:Performance`). `None` when malformed.
pub fn parse(text: &str) -> Option<String> {
    if let Some(governor) = governor(text) {
        return Some(governor.to_owned());
    }
    let (range, wanted) = match text.split_once(':') {
        Some((range, wanted)) => (range, Some(governor(wanted)?)),
        None => (text, None),
    };
    let mut printed = match range.split_once('-') {
        Some((min, max)) => format!("{}-{}", value(min)?, value(max)?),
        None => value(range)?,
    };
    if let Some(wanted) = wanted {
        printed.push(':');
        printed.push_str(wanted);
    }
    Some(printed)
}

fn governor(text: &str) -> Option<&'static str> {
    GOVERNORS.iter().copied().find(|known| known.eq_ignore_ascii_case(text))
}

fn value(text: &str) -> Option<String> {
    if let Some((_, printed)) = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
        return Some((*printed).to_owned());
    }
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies() {
        let check =
            |text: &str, expected: &str| assert_eq!(parse(text).as_deref().unwrap_or("bad"), expected, "{text:?}");
        check("high", "High");
        check("1000", "1000");
        check("1000-2000:performance", "1000-2000:Performance");
        check("ondemand", "OnDemand");
        check("bad", "bad");
        check("", "bad");
        check("1-2:x", "bad");
    }
}
