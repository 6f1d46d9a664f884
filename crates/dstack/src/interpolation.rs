//! `${{ namespace.name }}` in commands and values.
//!
//! `$${{` stands for a literal `${{`. dstack also turns any other `$$` into `$`, which breaks the shell's `$$`; that is
//! not followed here.

/// Looks up what a reference stands for.
///
/// # Errors
/// Why it stands for nothing, for the user.
pub type Lookup<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

const OPENING: &str = "${{";
const CLOSING: &str = "}}";

/// Replaces each reference in `text`.
///
/// # Errors
/// A reference that is not closed, is no name, or has no value; for the user.
pub fn interpolate(text: &str, lookup: &Lookup<'_>) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(OPENING) {
        let (before, from_opening) = rest.split_at(start);
        let after = &from_opening[OPENING.len()..];
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str(OPENING);
            rest = after;
            continue;
        }
        let Some((name, behind)) = after.split_once(CLOSING) else {
            return Err(format!("`{OPENING}` without `{CLOSING}`"));
        };
        let name = name.trim();
        if !is_reference(name) {
            return Err(format!("`{name}` is no reference such as run.args"));
        }
        result.push_str(before);
        result.push_str(&lookup(name)?);
        rest = behind;
    }
    result.push_str(rest);
    Ok(result)
}

/// Letters, digits, `_` in parts joined by dots; a part may have an index, as in `groups[0].nodes[1].IP_ADDRESS`.
fn is_reference(name: &str) -> bool {
    let is_part = |part: &str| {
        let (word, index) = part.split_once('[').map_or((part, None), |(word, index)| (word, Some(index)));
        let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_index = |index: &str| {
            index
                .strip_suffix(']')
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        };
        is_word && index.is_none_or(is_index)
    };
    name.contains('.') && name.split('.').all(is_part)
}

/// Words joined so that a shell reads them back as they are: what `${{ run.args }}` stands for.
pub fn shell_join(words: &[String]) -> String {
    words.iter().map(|word| shell_quote(word)).collect::<Vec<_>>().join(" ")
}

/// One word quoted for a shell where needed.
pub fn shell_quote(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r#"'"'"'"#))
    }
}

/// Splits text into words as a shell does, with quotes and backslashes but without any expansion. `None` when a quote
/// is not closed.
pub fn shell_split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('"'), '\\') => {
                let next = characters.next()?;
                let word = word.get_or_insert_default();
                if !matches!(next, '"' | '\\') {
                    word.push('\\');
                }
                word.push(next);
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().push(characters.next()?),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced() {
        let lookup = |name: &str| match name {
            "run.args" => Ok("--lr 1".to_owned()),
            name => Err(format!("{name} is not known")),
        };
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = interpolate(text, &lookup);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
        };
        check("train ${{ run.args }} end", Ok("train --lr 1 end"));
        check("${{run.args}}${{ run.args }}", Ok("--lr 1--lr 1"));
        check("echo $$ $HOME ${X}", Ok("echo $$ $HOME ${X}"));
        check("echo $${{ run.args }}", Ok("echo ${{ run.args }}"));
        check("${{ run.args", Err("`${{` without `}}`"));
        check("${{ }}", Err("`` is no reference such as run.args"));
        check("${{ args }}", Err("`args` is no reference such as run.args"));
        check("${{ a-b.c }}", Err("`a-b.c` is no reference such as run.args"));
        check("${{ run.other }}", Err("run.other is not known"));
        check("${{ groups[0].nodes[1].IP_ADDRESS }}", Err("groups[0].nodes[1].IP_ADDRESS is not known"));
        check("é${{ run.args }}é", Ok("é--lr 1é"));
    }

    #[test]
    fn words_survive_a_shell() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(shell_join(&words(&["--lr", "0.1", "a b", "it's", ""])), r#"--lr 0.1 'a b' 'it'"'"'s' ''"#);
        let check =
            |text: &str, expected: Option<&[&str]>| assert_eq!(shell_split(text), expected.map(words), "{text}");
        check("bash -c", Some(&["bash", "-c"]));
        check(r#"a 'b c' "d \" e" f\ g ''"#, Some(&["a", "b c", "d \" e", "f g", ""]));
        check("  ", Some(&[]));
        check("'open", None);
        check("tail\\", None);
    }
}
