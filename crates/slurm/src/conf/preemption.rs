//! `PreemptType`, `PreemptMode` and their kin.

use muster_model::preemption::{PreemptMode, PreemptType, PreemptionConfig};
use muster_model::time::{Span, TimeLimit};

use super::ConfError;
use super::lines::Line;

/// What the four keys of the cluster say; `get` finds a key with its line.
pub(super) fn read<'a>(
    get: &dyn Fn(&str) -> Option<(&'a Line, &'a str)>,
    warnings: &mut Vec<String>,
) -> Result<PreemptionConfig, ConfError> {
    let mut config = PreemptionConfig::default();
    if let Some((line, text)) = get("PreemptType") {
        config.kind = match text.trim_start_matches("preempt/") {
            "none" => PreemptType::None,
            "partition_prio" => PreemptType::Partition,
            "qos" => PreemptType::Qos,
            _ => return Err(line.error(format!("PreemptType \"{text}\" is unknown: none, partition_prio or qos"))),
        };
    }
    if let Some((line, text)) = get("PreemptMode") {
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.to_ascii_uppercase().as_str() {
                "WITHIN" => config.within = true,
                "PRIORITY" => config.by_priority = true,
                "GANG" => config.gang = true,
                _ => config.mode = mode(line, word)?,
            }
        }
    }
    // Slurm goes by the mode of the cluster here, whatever partitions and QOS say.
    if let Some((line, _)) = get("PreemptMode").or(get("PreemptType"))
        && (config.kind == PreemptType::None) != (config.mode == PreemptMode::Off)
    {
        return Err(line.error("PreemptType and PreemptMode values incompatible".to_owned()));
    }
    if let Some((line, _)) = get("PreemptMode")
        && config.mode == PreemptMode::Suspend
        && !config.gang
    {
        return Err(line.error("PreemptMode=SUSPEND requires GANG too".to_owned()));
    }
    if let Some((line, text)) = get("PreemptExemptTime") {
        config.exempt_time = exempt_time(line, text)?;
    }
    if let Some((line, text)) = get("PreemptParameters") {
        parameters(&mut config, line, text, warnings)?;
    }
    Ok(config)
}

/// `PreemptMode` as Slurm shows it: flags first.
pub(super) fn words(config: &PreemptionConfig) -> String {
    let flags = [(config.within, "WITHIN"), (config.by_priority, "PRIORITY"), (config.gang, "GANG")];
    let set = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word);
    let words: Vec<&str> = set.chain((config.mode != PreemptMode::Off).then(|| word(config.mode))).collect();
    if words.is_empty() { "OFF".to_owned() } else { words.join(",") }
}

/// The word of a mode.
pub(super) fn word(mode: PreemptMode) -> &'static str {
    match mode {
        PreemptMode::Off => "OFF",
        PreemptMode::Cancel => "CANCEL",
        PreemptMode::Requeue => "REQUEUE",
        PreemptMode::Suspend => "SUSPEND",
    }
}

/// One of the modes.
pub(super) fn mode(line: &Line, word: &str) -> Result<PreemptMode, ConfError> {
    let unknown = || line.error(format!("PreemptMode \"{word}\" is unknown: OFF, CANCEL, REQUEUE or SUSPEND"));
    mode_of(word).ok_or_else(unknown)
}

/// The mode that `word` stands for.
pub(crate) fn mode_of(word: &str) -> Option<PreemptMode> {
    match word.to_ascii_uppercase().as_str() {
        "OFF" => Some(PreemptMode::Off),
        "CANCEL" => Some(PreemptMode::Cancel),
        "REQUEUE" => Some(PreemptMode::Requeue),
        "SUSPEND" => Some(PreemptMode::Suspend),
        _ => None,
    }
}

fn exempt_time(line: &Line, text: &str) -> Result<Span, ConfError> {
    if text == "-1" || text.eq_ignore_ascii_case("none") {
        return Ok(Span::ZERO);
    }
    let limit = TimeLimit::parse(text).and_then(TimeLimit::span);
    limit.ok_or_else(|| line.error(format!("PreemptExemptTime \"{text}\" is not a time")))
}

fn parameters(
    config: &mut PreemptionConfig,
    line: &Line,
    text: &str,
    warnings: &mut Vec<String>,
) -> Result<(), ConfError> {
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key.to_ascii_lowercase().as_str() {
            "youngest_first" => config.youngest_first = true,
            "strict_order" => config.strict_order = true,
            "send_user_signal" => config.send_user_signal = true,
            "min_exempt_priority" => {
                let priority = value.parse();
                let bad =
                    || line.error(format!("min_exempt_priority \"{value}\" of PreemptParameters is not a priority"));
                config.exempt_priority_min = Some(priority.map_err(|_| bad())?);
            }
            // Victims that are not needed are always left alone here, whatever the count says.
            "reorder_count" => {}
            _ => warnings.push(format!("PreemptParameters: {key} is not acted on")),
        }
    }
    Ok(())
}
